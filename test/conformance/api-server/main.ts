// Checks any API server: `node test/conformance/api-server/main.ts --kubeconfig FILE [--context NAME]`.
import { homedir } from 'node:os'
import { parseArgs } from 'node:util'
import { chooseCluster } from '../../../workers/kube/config.ts'
import { rows } from './rows.ts'
import { runConformance } from './run.ts'

const { values } = parseArgs({ options: { kubeconfig: { type: 'string' }, context: { type: 'string' } } })
const choice = chooseCluster({
  kubeconfig: values.kubeconfig ?? process.env.KUBECONFIG,
  context: values.context,
  home: homedir(),
  inCluster: false,
})
if (choice === undefined) {
  process.stderr.write('No cluster: name one with --kubeconfig.\n')
  process.exit(2)
}

const results = await runConformance(choice.config, rows, ({ name, outcome, reason }) => {
  process.stdout.write(`${outcome}  ${name}${reason === undefined ? '' : ` (${reason})`}\n`)
})
const count = (outcome: string) => results.filter((result) => result.outcome === outcome).length
process.stdout.write(`${count('pass')} passed, ${count('fail')} failed, ${count('skip')} skipped\n`)
process.exit(count('fail') === 0 ? 0 : 1)
