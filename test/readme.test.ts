import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { renderMarkdown } from '../shared/config/render.ts'
import { awaitSummary, type RelayProcess, startRelay } from './workers/relay-process.ts'

const readme = await readFile('README.md', 'utf8')
const blocks = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].map(([, text]) => text ?? '')
const commands = blocks
  .flatMap((block) => block.replaceAll('\\\n', ' ').split('\n'))
  .filter((line) => line.startsWith('curl '))

it('has the table of settings that the code has', () => {
  const table = readme.match(/<!-- settings[^\n]*-->\n([\s\S]*?)<!-- \/settings -->/)?.[1]
  expect(table?.trim(), 'paste the output of: npx relay config --markdown').toBe(renderMarkdown().trim())
})

const hasCurl = spawnSync('curl', ['--version']).status === 0

describe.runIf(hasCurl)('the commands', () => {
  let relay: RelayProcess
  let url: string
  let webhook: string
  let data: string

  beforeAll(async () => {
    data = await mkdtemp(join(tmpdir(), 'relay-readme-'))
    relay = startRelay(['up', '--sandbox', '--port', '0'], { RELAY_DATA: data, RELAY_SANDBOX_RATE: '50' })
    url = await awaitSummary(relay)
    const create = () =>
      fetch(`${url}/v1/webhooks`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{"url":"http://127.0.0.1:9000/"}',
      })
    // On a busy machine the summary may come before the connection to Redis; until then the answer is 503.
    const answer = await vi.waitUntil(
      async () => {
        const response = await create()
        return response.status === 201 && response
      },
      { timeout: 20_000, interval: 200 },
    )
    webhook = ((await answer.json()) as { id: string }).id
    const leader = async () => (await fetch(`${url}/v1/leases/payments/ledger-leader`)).status
    await vi.waitUntil(async () => (await leader()) === 200, { timeout: 20_000 })
  })

  afterAll(async () => {
    relay.child.kill('SIGTERM')
    await relay.exited
    await rm(data, { recursive: true, force: true, maxRetries: 5 })
  })

  it('are there', () => expect(commands.length).toBeGreaterThan(6))

  it.each(commands)('%s', (command) => {
    const here = command.replaceAll('http://127.0.0.1:8080', url).replaceAll(/wh_[0-9a-z]{10,}/g, webhook)
    const { status, stdout } = spawnSync('sh', ['-c', here.replace('curl ', 'curl -sS --fail-with-body --max-time 2 ')])
    // 28: a stream that goes on until the time is over.
    expect([0, 28], String(stdout)).toContain(status)
    expect(String(stdout)).not.toBe('')
  })
})
