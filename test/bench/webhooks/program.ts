import { fork } from 'node:child_process'
import { once } from 'node:events'

/** A program of this benchmark, in a process of its own. */
export interface Program {
  pid: number
  /** Of receivers: where they listen. */
  ports: number[]
  /** Waits for the answer. */
  tell(message: object): Promise<void>
  /** The next message of this type. */
  hear(type: 'warm' | 'complete'): Promise<Message>
  stop(): Promise<void>
}

interface Message {
  type: string
  ports?: number[]
  count: number
  ms: number
  delays: number[]
}

/** Starts a program, and waits for its first word. With BENCH_PROFILE, a folder, the relay writes what it spends its time on there. */
export async function startProgram(name: string, ...args: (string | number)[]): Promise<Program> {
  const url = new URL(name, import.meta.url)
  const folder = process.env.BENCH_PROFILE
  const execArgv = folder === undefined || name !== 'relay.ts' ? [] : ['--cpu-prof', `--cpu-prof-dir=${folder}`]
  const child = fork(url, args.map(String), { execArgv, stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const [first] = (await once(child, 'message')) as [Message]
  return {
    pid: child.pid ?? 0,
    ports: first.ports ?? [],
    async tell(message) {
      child.send(message)
      await once(child, 'message')
    },
    hear(type) {
      return new Promise((resolve) => {
        child.on('message', function listen(message: Message) {
          if (message.type !== type) return
          child.off('message', listen)
          resolve(message)
        })
      })
    },
    async stop() {
      if (execArgv.length > 0) child.disconnect()
      else child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}
