import { type ChildProcess, fork } from 'node:child_process'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { isReadyMessage } from '../../../infra/node/run-role.ts'
import type { About } from './child.ts'

const sandboxEntry = fileURLToPath(new URL('../../../infra/sandbox/main.ts', import.meta.url))
const relayEntry = fileURLToPath(new URL('../../relay.ts', import.meta.url))

/**
 * Starts a role as a process of its own, which ends when this one does. It has its own process group: Ctrl-C and whatever
 * else ends a whole group must not end the roles in any order.
 */
export function launchRole(role: string, env: NodeJS.ProcessEnv): ChildProcess {
  // stdout belongs to the person at the terminal; what a role has to say goes to the log.
  return fork(relayEntry, [role], { env, stdio: ['ignore', 2, 2, 'ipc'], detached: true })
}

export function awaitRoleReady(child: ChildProcess): Promise<About> {
  return new Promise((resolve) => {
    child.on('message', (message) => {
      if (isReadyMessage(message)) resolve(message.about)
    })
  })
}

export interface SandboxOptions {
  /** 0 for any free one. */
  readonly port: number
  /** Events per second. */
  readonly rate: number
  readonly seed: number
}

/** Starts the sandbox cluster as a process of its own, which ends when this one does. */
export function launchSandbox({ port, rate, seed }: SandboxOptions): ChildProcess {
  const args = ['--port', String(port), '--rate', String(rate), '--seed', String(seed)]
  // Its own process group, as a role has.
  return fork(sandboxEntry, args, { stdio: ['ignore', 'pipe', 2, 'ipc'], detached: true })
}

/** Waits for the line `{"url": …}` on stdout. */
export function awaitSandboxReady(child: ChildProcess): Promise<About> {
  return new Promise((resolve, reject) => {
    if (child.stdout === null) throw new Error('the sandbox has no stdout')
    createInterface(child.stdout).once('line', (line) => {
      try {
        resolve(JSON.parse(line))
      } catch (error) {
        reject(error)
      }
    })
  })
}
