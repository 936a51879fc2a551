// A server that takes Redis commands over HTTP, in a process of its own: what authorities it trusts is settled by its start.
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { openRedis } from '../../../infra/node/connect-redis.ts'
import { answerCommands } from './answer.ts'

const [url = '', token = ''] = process.argv.slice(2)
const options = { maxRetriesPerRequest: 0, retryStrategy: () => 200 }
const redis = openRedis(url, options)
redis.on('error', () => undefined)
process.on('disconnect', () => process.exit(0))
serve({ port: 0, hostname: '127.0.0.1', fetch: (request) => answerCommands(request, redis, token) }, (address) => {
  process.send?.({ url: `http://127.0.0.1:${(address as AddressInfo).port}` })
})
