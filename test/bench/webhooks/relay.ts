import { startDeliver } from '../../../workers/commands/deliver.ts'

// The deliver role as it ships, in a process of its own.
const [redisUrl = '', cluster = '', webhookSecretKey = ''] = process.argv.slice(2)
const ignore = () => undefined
const log = { trace: ignore, debug: ignore, info: ignore, warn: ignore, error: ignore, child: () => log }
const network = { webhookAllowCidrs: ['127.0.0.0/8'], webhookAllowHttp: true }
await startDeliver({ redisUrl, cluster, data: '', webhookSecretKey, ...network }, log)
process.on('disconnect', () => process.exit())
process.send?.({ type: 'ready' })
