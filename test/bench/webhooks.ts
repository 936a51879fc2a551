import { type Bench, median, type Row } from './bench.ts'
import { runBacklog } from './webhooks/backlog.ts'
import { runLatency, runLoop, runRelay, type Score } from './webhooks/races.ts'

const repetitions = 3
const perSecond = 10_000
const waitingPerSecond = 50_000
const [few, many] = [10, 100]

/** Deliveries to receivers on this machine, signed, durable and logged; beside it, the loops that one would write first. */
export const webhooks: Bench = {
  name: 'webhooks',
  describe: 'deliveries to local receivers, beside BullMQ with fetch and BullMQ with undici',
  async *run({ seconds, only }) {
    const total = Math.ceil((seconds * perSecond) / many) * many
    const races: Record<string, { race: () => Promise<Score>; peers: string[] }> = {
      'ten endpoints': { race: () => runRelay(total, { live: few }), peers: ['bullmq-fetch', 'bullmq-undici'] },
      'bullmq-fetch': { race: () => runLoop('fetch', total, few), peers: [] },
      'bullmq-undici': { race: () => runLoop('undici', total, few), peers: [] },
      '100 endpoints': { race: () => runRelay(total, { live: many }), peers: ['bullmq-undici, 100 endpoints'] },
      'bullmq-undici, 100 endpoints': { race: () => runLoop('undici', total, many), peers: [] },
      '100 endpoints, one never answers': {
        race: () => runRelay(total, { live: many - 1, silent: 1 }),
        peers: ['100 endpoints'],
      },
      '100 endpoints, one silent, one 10 s slow': {
        race: () => runRelay(total, { live: many - 2, silent: 1, slow: 1 }),
        peers: ['100 endpoints'],
      },
    }
    // Takes long, and is asked for by name: `--only backlog --seconds 20` for a million.
    if (only === 'backlog') return yield* runBacklog(seconds * waitingPerSecond)
    const chosen = Object.entries(races).filter(([name]) => name.includes(only))
    const scores = new Map<string, Score[]>(chosen.map(([name]) => [name, []]))
    for (let repetition = 0; repetition < repetitions; repetition++) {
      for (const [name, { race }] of chosen) scores.get(name)?.push(await race())
    }
    const speedOf = (name: string) => median((scores.get(name) ?? []).map(({ speed }) => speed))
    for (const [name, { peers }] of chosen) {
      const ratios: Row['ratios'] = {}
      for (const peer of peers) if (scores.has(peer)) ratios[peer] = speedOf(name) / speedOf(peer)
      yield { case: name, value: speedOf(name), unit: 'per s', ratios }
      for (const part of ['sender', 'redis', 'receivers'] as const) {
        const value = median((scores.get(name) ?? []).map(({ cpu }) => cpu[part]))
        yield { case: `  processor, ${part}`, value, unit: 'µs each', ratios: {} }
      }
    }
    if (!'latency at 1,000 events per s'.includes(only)) return
    const delays = (await runLatency(1000, seconds)).toSorted((a, b) => a - b)
    for (const part of [0.5, 0.99]) {
      const value = delays[Math.floor(delays.length * part)] ?? Number.NaN
      yield { case: `latency at 1,000 events per s, p${part * 100}`, value, unit: 'ms', ratios: {} }
    }
  },
}
