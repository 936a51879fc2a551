// `npm run edge:size`: what the Worker weighs, by its parts, and how long it takes to start.
import { startOnWorkerd } from '../../bench/edge/workerd.ts'
import { startTestRedis } from '../../support/redis.ts'
import { measureSize } from './measure.ts'

const { gzip, parts } = await measureSize('production')
console.log(`${gzip.toFixed(1)} KiB gzip, of 150`)
for (const [name, kib] of parts.slice(0, 12)) console.log(`${kib.toFixed(1).padStart(8)} KiB  ${name}`)

const redis = await startTestRedis()
const { startedIn, stop } = await startOnWorkerd(redis.url)
console.log(`${startedIn.toFixed(0)} ms from the start of workerd to the first answer of a hub`)
await stop()
await redis.stop()
