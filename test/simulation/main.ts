import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { drawPlan } from './plan.ts'
import { describePlan, shrinkPlan, tryPlan } from './shrink.ts'
import { mergeTally, type Tally } from './tally.ts'
import type { Violation } from './validators/validators.ts'
import type { Report, Share } from './worker.ts'
import { playPlan } from './world.ts'

const usage = `Plays simulated histories of the watcher against faulty servers and judges each.

  --runs N     how many (1000)
  --seed N     the first one's seed (1); a run's seeds are N, N+1, …
  --workers N  threads (one for each core)
  --trace      print what happens in the first history, and play no other
  --quick      do not shrink what fails
  --plan       print the plan of the first history, and play none
`

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    workers: { type: 'string', default: String(availableParallelism()) },
    trace: { type: 'boolean', default: false },
    plan: { type: 'boolean', default: false },
    quick: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

/** Plays all histories, spread over threads; resolves with what went wrong first, if anything did. */
async function playAll(
  runs: number,
  seed: number,
  threads: number,
  tally: Tally,
): Promise<{ seed: number; violations: Violation[] } | undefined> {
  const started = performance.now()
  const shares = Array.from(
    { length: threads },
    (_, n): Share => ({
      seed: seed + n,
      runs: Math.floor((runs - n + threads - 1) / threads),
      stride: threads,
    }),
  )
  let failure: { seed: number; violations: Violation[] } | undefined
  let printed = 0
  const playing = shares.map((share) => {
    const worker = new Worker(new URL('./worker.ts', import.meta.url), { workerData: share })
    return new Promise<void>((resolve, reject) => {
      worker.on('error', reject)
      worker.on('exit', () => resolve())
      worker.on('message', (report: Report) => {
        if (report.type === 'failure') {
          failure ??= report
          for (const { end } of ending) end()
        } else if (report.type === 'progress') {
          mergeTally(tally, report.tally)
          const done = tally.get('histories') ?? 0
          if (done - printed < runs / 10) return
          printed = done
          print(`${done} of ${runs} after ${Math.round((performance.now() - started) / 1000)} s`)
        }
      })
      ending.push({ end: () => void worker.terminate() })
    })
  })
  await Promise.all(playing)
  const seconds = (performance.now() - started) / 1000
  print(`${((tally.get('histories') ?? 0) / seconds).toFixed(0)} histories a second on ${threads} threads`)
  return failure
}
const ending: { end: () => void }[] = []

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

function printTally(tally: Tally): void {
  const isFault = (name: string) => name.startsWith('fault: ')
  for (const [name, count] of tally) if (!isFault(name)) print(`  ${String(count).padStart(10)} ${name}`)
  const faults = [...tally].filter(([name]) => isFault(name)).toSorted(([, a], [, b]) => b - a)
  print(`faults: ${faults.map(([name, count]) => `${name.slice('fault: '.length)} ${count}`).join(', ')}`)
}

async function explain(seed: number, violations: Violation[]): Promise<void> {
  const [first] = violations
  if (first === undefined) return
  print(`\nseed ${seed} fails "${first.validator}": ${first.message}`)
  if (values.quick) return
  print('shrinking…')
  const small = await shrinkPlan(drawPlan(seed), async (plan) =>
    (await tryPlan(plan)).some(({ validator }) => validator === first.validator),
  )
  print(describePlan(small))
  for (const { validator, message } of await tryPlan(small)) print(`${validator}: ${message}`)
  print(`again: node test/simulation/main.ts --seed ${seed} --runs 1`)
}

async function main(): Promise<number> {
  if (values.help) {
    print(usage)
    return 0
  }
  const [runs, seed, threads] = [values.runs, values.seed, values.workers].map(Number) as [number, number, number]
  if (![runs, seed, threads].every((value) => Number.isSafeInteger(value) && value > 0)) {
    print(usage)
    return 2
  }
  if (values.plan) {
    print(describePlan(drawPlan(seed)))
    return 0
  }
  if (values.trace) {
    await playPlan(drawPlan(seed), print)
    for (const { validator, message } of await tryPlan(drawPlan(seed))) print(`${validator}: ${message}`)
    return 0
  }
  const tally: Tally = new Map()
  const failure = await playAll(runs, seed, Math.min(threads, runs), tally)
  printTally(tally)
  if (failure === undefined) {
    print('every history is as it must be')
    return 0
  }
  await explain(failure.seed, failure.violations)
  return 1
}

process.exitCode = await main()
