import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { findFreePort } from '../../infra/redis/server.ts'
import { listen, until } from '../functions/serving.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))

test('npm run dev:edge serves the sandbox through the Worker, with its data in a folder of the project', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'relay-dev-'))
  const port = await findFreePort()
  const { REDIS_URL: _, KUBECONFIG: __, ...inherited } = process.env
  // Named as by default: by a path that begins in the project.
  const env = { ...inherited, RELAY_DATA: relative(root, folder), CLOUDFLARE_CF_FETCH_ENABLED: 'false' }
  const dev = spawn(process.execPath, ['infra/edge/dev.ts', '--port', String(port)], { cwd: root, env })
  const exited = once(dev, 'exit')
  let said = ''
  for (const output of [dev.stdout, dev.stderr]) {
    output.on('data', (chunk) => {
      said += chunk
    })
  }
  try {
    await until(() => said.includes('Ctrl-C') || said.includes('The Worker answers 5'), 100_000)
    expect(said).toContain(`http://127.0.0.1:${port}`)
    const listener = listen(`http://127.0.0.1:${port}`, '?from=state')
    await until(() => listener.messages.some(({ type }) => type === 'message'), 60_000)
    listener.close()
    const { items } = (await (await fetch(`http://127.0.0.1:${port}/v1/pods`)).json()) as { items: unknown[] }
    expect(items.length).toBeGreaterThan(0)
  } finally {
    dev.kill('SIGTERM')
    await exited
    await rm(folder, { recursive: true, force: true })
  }
})
