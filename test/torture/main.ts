// Kills watchers and Redis while a sandbox cluster lives on: `node test/torture/main.ts --kills 200 --seed 7`.
import { parseArgs } from 'node:util'
import { torture } from './torture.ts'

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    rate: { type: 'string', default: '300' },
    seconds: { type: 'string' },
  },
})

const print = (line: string) => void process.stdout.write(`${line}\n`)
const seed = Number(values.seed)
print(`seed ${seed}`)
const result = await torture({
  kills: Number(values.kills),
  seed,
  rate: Number(values.rate),
  seconds: values.seconds === undefined ? undefined : Number(values.seconds),
  report: print,
})
const { fidelity, failures, counts } = result
for (const [act, count] of Object.entries(counts)) print(`  ${String(count).padStart(4)}  ${act}`)
print(`${result.kills} kills in ${result.seconds} s, ${result.changes} changes`)
print(
  `pods: ${fidelity.told} told, ${fidelity.covered} within ${fidelity.gaps.length} announced gaps (${result.certain.length} losses certain), ` +
    `${fidelity.lost.length} lost, ${fidelity.doubled.length} doubled, ${fidelity.disordered.length} out of order`,
)
for (const failure of failures) print(`FAILED ${failure}`)
print(failures.length === 0 ? `verdict: the log equals the history (seed ${seed})` : `verdict: BROKEN (seed ${seed})`)
process.exit(failures.length === 0 ? 0 : 1)
