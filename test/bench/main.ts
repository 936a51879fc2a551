import { cpus, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import type { Bench } from './bench.ts'
import { edge } from './edge.ts'
import { fanout } from './fanout.ts'
import { ingest } from './ingest.ts'
import { leases } from './leases.ts'
import { storm } from './storm.ts'
import { formatJson, formatRow, heading } from './table.ts'
import { webhooks } from './webhooks.ts'

const benches: readonly Bench[] = [ingest, leases, fanout, storm, edge, webhooks]

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
  },
})

if (values.list) {
  for (const { name, describe } of benches) console.log(`${name.padEnd(10)} ${describe}`)
} else {
  const chosen = benches.filter(({ name }) => positionals.length === 0 || positionals.includes(name))
  const unknown = positionals.find((name) => !benches.some((bench) => bench.name === name))
  if (unknown !== undefined) throw new Error(`there is no benchmark "${unknown}"; --list names them`)
  if (!values.json) {
    const processors = cpus()
    const memory = Math.round(totalmem() / 2 ** 30)
    console.log(`Node ${process.version}, ${processors.length} × ${processors[0]?.model}, ${memory} GB`)
    console.log(heading)
  }
  for (const bench of chosen) {
    for await (const row of bench.run({ seconds: Number(values.seconds), only: values.only })) {
      console.log(values.json ? formatJson(bench.name, row) : formatRow(bench.name, row))
    }
  }
}
