import { request } from 'node:http'
import { KubeConfig, makeInformer, Watch } from '@kubernetes/client-node'
import { Redis } from 'ioredis'

/** The others, each in a process of its own: what they do with the same frames, until so many have come. */
const [peer = '', server = '', path = '', wanted = '0', redisUrl = ''] = process.argv.slice(2)
let seen = 0

function count(): void {
  seen++
  if (seen === Number(wanted)) process.send?.({ type: 'finished' })
}

/** Splits at newlines and parses: no less work can tell what happened. */
function parseOnly(take: (frame: unknown) => void, query = 'resourceVersion=1000000000'): void {
  request(`${server}${path}?watch=true&${query}`, (response) => {
    let rest: Buffer | undefined
    response.on('data', (chunk: Buffer) => {
      const bytes = rest === undefined ? chunk : Buffer.concat([rest, chunk])
      let start = 0
      for (let end = bytes.indexOf(10); end !== -1; end = bytes.indexOf(10, start)) {
        take(JSON.parse(bytes.toString('utf8', start, end)))
        start = end + 1
      }
      rest = start === bytes.length ? undefined : bytes.subarray(start)
    })
  }).end()
}

function loadConfig(): KubeConfig {
  const config = new KubeConfig()
  config.loadFromClusterAndUser({ name: 'c', server, skipTLSVerify: true }, { name: 'u' })
  return config
}

switch (peer) {
  case 'bare-parse':
    parseOnly(count)
    break
  case 'bare-parse-list':
    parseOnly(count, 'sendInitialEvents=true')
    break
  case 'bare-append': {
    const redis = new Redis(redisUrl)
    parseOnly((frame) => {
      const { object } = frame as { object: { metadata: { resourceVersion: string } } }
      void redis.xadd('bare', '*', 'e', object.metadata.resourceVersion).then(count)
    })
    break
  }
  case 'client-node-informer': {
    const informer = makeInformer(loadConfig(), path, async () => ({
      apiVersion: 'v1',
      kind: 'List',
      metadata: { resourceVersion: '1000000000' },
      items: [],
    }))
    for (const verb of ['add', 'update', 'delete'] as const) informer.on(verb, count)
    void informer.start()
    break
  }
  case 'client-node-watch':
    void new Watch(loadConfig()).watch(path, { resourceVersion: '1000000000' }, count, () => undefined)
}
process.on('disconnect', () => process.exit())
