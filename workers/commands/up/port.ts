import { createServer } from 'node:net'
import { SetupError } from '../../../infra/node/setup-error.ts'

/**
 * Checks that we may listen there, before anything is started for it.
 *
 * @throws SetupError naming the setting at fault.
 */
export async function checkPort(host: string, port: number): Promise<void> {
  const server = createServer()
  const code = await new Promise<string | undefined>((resolve) => {
    server.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
    server.listen(port, host, () => server.close(() => resolve(undefined)))
  })
  if (code === undefined) return
  if (code === 'EADDRINUSE') {
    throw new SetupError(
      `PORT: ${port} on ${host} is taken by another program. Choose another one (--port 8081), or 0 for any.`,
    )
  }
  if (code === 'EACCES') throw new SetupError(`PORT: ${port} is not allowed to this user. Choose one above 1023.`)
  throw new SetupError(`HOST: cannot listen on ${host} (${code}).`)
}
