// A relay reduced to its Redis, for tests that kill it: reports the address, then waits for its end.
import pino from 'pino'
import { startPrivateRedis } from '../../../infra/redis/private-redis.ts'
import { testProgramSources } from '../../support/redis.ts'

const [dir = ''] = process.argv.slice(2)
const { url } = await startPrivateRedis({ ...testProgramSources, dir, log: pino({ level: 'silent' }) })
process.send?.({ url })
process.on('disconnect', () => process.exit())
