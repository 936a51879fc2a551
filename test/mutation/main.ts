import { spawn } from 'node:child_process'
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { type Mutation, mutations } from './mutations.ts'

const usage = `Plants one bug at a time into a copy of the source, and looks whether the tests notice.

  --runs N    simulated histories for each bug (300)
  --only T    only the bugs whose name holds this text
`

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '300' },
    only: { type: 'string', default: '' },
    help: { type: 'boolean', default: false },
  },
})

const root = new URL('../..', import.meta.url).pathname
/** What the bugs are planted into, and what is needed to test it. */
const copied = ['workers', 'shared', 'infra', 'functions', 'test', 'package.json', 'tsconfig.json']
/** A bug may well make a test wait for ever; that is noticed as well. */
const patienceMs = 90_000

const fastTests = [
  'test/workers/reflector/step.test.ts',
  'test/workers/reflector/lines.test.ts',
  'test/workers/reflector/read-body.test.ts',
  'test/workers/reflector/event-reader.test.ts',
  'test/workers/watcher/ledger.test.ts',
  'test/workers/watcher/feed.test.ts',
  'test/workers/watcher/lease-clock.test.ts',
  'test/workers/watcher/claim.test.ts',
  'test/shared/filter.test.ts',
]

async function copyTree(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'relay-mutation-'))
  for (const name of copied) await cp(join(root, name), join(folder, name), { recursive: true })
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'))
  return folder
}

/** Runs one program; true when it ended well and in time. */
function run(args: string[], cwd: string): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, args, { cwd, stdio: 'ignore' })
    const timer = setTimeout(() => child.kill('SIGKILL'), patienceMs)
    child.once('exit', (code) => {
      clearTimeout(timer)
      resolve(code === 0)
    })
  })
}

/** Which of the checks notices what is planted in a folder; undefined: none. The fastest are asked first. */
async function findCatcher(folder: string): Promise<string | undefined> {
  const vitest = join('node_modules', 'vitest', 'vitest.mjs')
  const simulation = ['test/simulation/main.ts', '--runs', values.runs, '--quick']
  if (!(await run(simulation, folder))) return 'simulation'
  if (!(await run([vitest, 'run', '--config', 'test/vitest.config.ts', ...fastTests], folder))) return 'tests'
  return undefined
}

async function plant(folder: string, { file, from, to }: Mutation): Promise<() => Promise<void>> {
  const path = join(folder, file)
  const source = await readFile(path, 'utf8')
  const found = source.split(from).length - 1
  if (found !== 1) throw new Error(`${file} holds ${found} times: ${from}`)
  await writeFile(
    path,
    source.replace(from, () => to),
  )
  return () => writeFile(path, source)
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function main(): Promise<number> {
  if (values.help) {
    print(usage)
    return 0
  }
  const chosen = mutations.filter(({ name }) => name.includes(values.only))
  const folder = await copyTree()
  const survivors: Mutation[] = []
  try {
    for (const mutation of chosen) await (await plant(folder, mutation))()
    const before = await findCatcher(folder)
    if (before !== undefined) {
      print(`the source as it is fails in: ${before}`)
      return 1
    }
    for (const mutation of chosen) {
      const undo = await plant(folder, mutation)
      // A bug that does not even load would be caught by nothing but the parser.
      const load = ['--input-type=module', '--eval', `await import(${JSON.stringify(`./${mutation.file}`)})`]
      if (!(await run(load, folder))) throw new Error(`with "${mutation.name}", ${mutation.file} does not load`)
      const started = performance.now()
      const catcher = await findCatcher(folder)
      await undo()
      const seconds = ((performance.now() - started) / 1000).toFixed(1).padStart(6)
      print(`${(catcher ?? 'SURVIVED').padEnd(10)} ${seconds} s  ${mutation.name}`)
      if (catcher === undefined) survivors.push(mutation)
    }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
  print(`${chosen.length - survivors.length}/${chosen.length} caught`)
  for (const { name, file } of survivors) print(`survived: ${name} (${file})`)
  return survivors.length === 0 ? 0 : 1
}

process.exitCode = await main()
