// Has the app answer for its page and its description once, for the platform to answer with from then on: without the Worker,
// and free of charge. `wrangler` runs this before it bundles.
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createApp } from '../../functions/app.ts'
import { readPage } from '../../functions/node.ts'
import { pageTypes } from '../../functions/routes/page.ts'
import { createAddressPolicy } from '../../shared/webhook/address.ts'
import { createLogger } from '../node/logger.ts'

const folder = fileURLToPath(new URL('../../.wrangler/edge-assets', import.meta.url))
/** Where the platform looks for a path that ends in a slash. */
const nameFile = (path: string) => (path === '/' ? '/index.html' : path)
const pageFiles = Object.keys(pageTypes).filter((name) => name !== 'index.html')
const paths = ['/', '/openapi.json', ...pageFiles.map((name) => `/page/${name}`)]

const unreachable = async () => {
  throw new Error('files are written without Redis')
}
const { hono } = createApp({
  cluster: 'edge',
  redis: { call: unreachable },
  connect: () => ({ redis: { call: unreachable }, close: () => undefined }),
  log: createLogger({ level: 'warn', format: 'auto', role: 'edge', isTerminal: false }),
  resources: [],
  page: await readPage(),
  webhooks: { encryptionKey: '', policy: createAddressPolicy({ allowCidrs: [], allowHttp: false }) },
})

/** Several builds may run at once, and each finds whole files. */
async function write(name: string, text: string): Promise<void> {
  const file = join(folder, name)
  const before = await readFile(file, 'utf8').catch(() => undefined)
  if (before === text) return
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.${process.pid}`, text)
  await rename(`${file}.${process.pid}`, file)
}

const rules: string[] = []
for (const path of paths) {
  const response = await hono.fetch(new Request(`https://edge.invalid${path}`), {})
  if (!response.ok) throw new Error(`${path} is answered ${response.status}`)
  await write(nameFile(path), await response.text())
  const headers = [...response.headers].map(([name, value]) => `  ${name}: ${value}`)
  rules.push([path, ...headers].join('\n'))
}
await write('_headers', `${rules.join('\n\n')}\n`)
