import { parentPort, workerData } from 'node:worker_threads'
import { drawPlan } from './plan.ts'
import { mergeTally, type Tally, tallyHistory } from './tally.ts'
import { judgeHistory, type Violation } from './validators/validators.ts'
import { playPlan } from './world.ts'

/** Which histories a worker plays: `runs` of them, each `stride` seeds after the one before. */
export interface Share {
  seed: number
  runs: number
  stride: number
}

export type Report =
  | { type: 'progress'; tally: [string, number][] }
  | { type: 'failure'; seed: number; violations: Violation[] }
  | { type: 'done' }

const reportEvery = 100
const { seed, runs, stride } = workerData as Share

const report = (message: Report) => parentPort?.postMessage(message)

let tally: Tally = new Map()
for (let run = 0; run < runs; run++) {
  const history = await playPlan(drawPlan(seed + run * stride))
  const violations = judgeHistory(history)
  if (violations.length > 0) report({ type: 'failure', seed: seed + run * stride, violations })
  mergeTally(tally, tallyHistory(history))
  if ((run + 1) % reportEvery === 0 || run + 1 === runs) {
    report({ type: 'progress', tally: [...tally] })
    tally = new Map()
  }
}
report({ type: 'done' })
