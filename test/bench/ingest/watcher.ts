import { readFileSync } from 'node:fs'
import { startTestWatcher } from '../../support/watcher.ts'

/** The real watcher in a process of its own; tells its memory when asked. */
const [server = '', redisUrl = '', resources = ''] = process.argv.slice(2)
const watcher = startTestWatcher({ server, redisUrl, cluster: 'bench', resources, keepEntries: 200_000 })

process.on('message', () => {
  const status = readFileSync('/proc/self/status', 'utf8')
  const read = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+) kB`).exec(status)?.[1] ?? 0) / 1024
  process.send?.({ type: 'memory', now: read('VmRSS'), most: read('VmHWM') })
})
process.on('disconnect', () => void watcher.stop().then(() => process.exit()))
