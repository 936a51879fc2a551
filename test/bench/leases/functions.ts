import { pino } from 'pino'
import { startServe } from '../../../functions/node.ts'

/** The functions in a process of their own, without their limit of requests: here it is the machine that is asked. */
const [redisUrl = '', resources = ''] = process.argv.slice(2)
const config = {
  cluster: 'bench',
  host: '127.0.0.1',
  port: 0,
  resources,
  data: '.relay',
  redisUrl,
  webhookAllowCidrs: [],
  webhookAllowHttp: false,
  webhookSecretKey: 'k'.repeat(43),
}
const log = pino({ level: 'warn' }, pino.destination(2))
const functions = await startServe(config, log, { limits: { rate: 1_000_000 } })
process.send?.({ type: 'ready', about: functions.about })
process.on('disconnect', () => void functions.stop().then(() => process.exit()))
