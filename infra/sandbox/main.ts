import { enableCompileCache } from 'node:module'
import { parseArgs } from 'node:util'

// Stripping types is most of the time to start; the cache must be on before the first import that it is to help.
enableCompileCache()
const { createSandbox } = await import('./sandbox.ts')

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '0' },
    host: { type: 'string', default: '127.0.0.1' },
    rate: { type: 'string', default: '5' },
    seed: { type: 'string', default: '1' },
    history: { type: 'string', default: '10000' },
    'bookmark-interval': { type: 'string', default: '60000' },
    'no-world': { type: 'boolean', default: false },
  },
})

function readNumber(name: 'port' | 'rate' | 'seed' | 'history' | 'bookmark-interval'): number {
  const value = Number(values[name])
  if (!Number.isFinite(value) || value < 0) throw new RangeError(`--${name} takes a number, not ${values[name]}`)
  return value
}

const sandbox = await createSandbox({
  port: readNumber('port'),
  host: values.host,
  rate: readNumber('rate'),
  seed: readNumber('seed'),
  history: readNumber('history'),
  bookmarkInterval: readNumber('bookmark-interval'),
  world: !values['no-world'],
  keepHistory: false,
})

async function quit(): Promise<void> {
  await sandbox.stop()
  process.exit(0)
}

process.once('SIGTERM', quit)
process.once('SIGINT', quit)
process.once('disconnect', quit)
// Whoever started it may have gone before anybody listened.
if (process.send !== undefined && !process.connected) await quit()
process.stdout.write(`${JSON.stringify({ url: sandbox.url })}\n`)
