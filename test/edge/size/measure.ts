import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/** What a deployment uploads. */
export interface Size {
  /** KiB, as Cloudflare counts them against the limit of a plan. */
  readonly gzip: number
  /** KiB that each package, or folder of ours, takes before compression; the largest first. */
  readonly parts: readonly (readonly [name: string, kib: number])[]
}

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Has wrangler do all of a deployment but the upload. Rejects when the configuration or the code would be refused. */
export async function measureSize(environment: string): Promise<Size> {
  const folder = await mkdtemp(join(tmpdir(), 'relay-size-'))
  try {
    const wrangler = join(root, 'node_modules', '.bin', 'wrangler')
    const args = ['deploy', '--dry-run', '--config', 'infra/wrangler.jsonc', '--env', environment]
    const run = promisify(execFile)
    const { stdout, stderr } = await run(wrangler, [...args, '--outdir', folder, '--metafile'], { cwd: root })
    const gzip = Number(/gzip: ([\d.]+) KiB/.exec(stdout)?.[1])
    // What a stand-in does not have is found missing by the bundler, and by nobody else before it is called.
    if (/WARNING/.test(stderr + stdout)) throw new Error(`wrangler warns:\n${stderr}${stdout}`)
    return { gzip, parts: await readParts(join(folder, 'bundle-meta.json')) }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

interface Meta {
  outputs: Record<string, { inputs: Record<string, { bytesInOutput: number }> }>
}

async function readParts(file: string): Promise<Size['parts']> {
  const { outputs } = JSON.parse(await readFile(file, 'utf8')) as Meta
  const bundle = Object.keys(outputs).find((name) => name.endsWith('worker.js')) ?? ''
  const sizes = new Map<string, number>()
  for (const [path, { bytesInOutput }] of Object.entries(outputs[bundle]?.inputs ?? {})) {
    const name =
      /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1] ?? path.replace(/^(\.\.\/)*/, '').split('/')[0] ?? ''
    sizes.set(name, (sizes.get(name) ?? 0) + bytesInOutput / 1024)
  }
  return [...sizes].sort(([, a], [, b]) => b - a)
}
