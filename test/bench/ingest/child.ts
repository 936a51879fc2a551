import { type ChildProcess, fork, type Serializable } from 'node:child_process'

/** A process that a benchmark starts, talks to over IPC, and ends. */
export interface Child {
  readonly pid: number
  send(message: Serializable): void
  /** Resolves with the next message of this type. */
  hear<T extends { type: string }>(type: T['type']): Promise<T>
  /** Calls for each message of this type. */
  on<T extends { type: string }>(type: T['type'], listener: (message: T) => void): void
  /** Rejects when the process ends before it was told to. */
  readonly failed: Promise<never>
  end(): Promise<void>
}

/** Starts a module of this folder as a process; whatever it prints to stderr is seen. */
export function startChild(module: string, args: readonly string[], execArgv: readonly string[] = []): Child {
  const child = fork(new URL(module, import.meta.url), args, {
    execArgv: [...execArgv],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  return wrap(child)
}

function wrap(child: ChildProcess): Child {
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const killNow = () => child.kill('SIGKILL')
  process.once('exit', killNow)
  const failed = exited.then(() => Promise.reject(new Error('a process of the benchmark ended too soon')))
  failed.catch(() => undefined)
  return {
    failed,
    pid: child.pid ?? 0,
    send: (message) => void child.send(message),
    hear(type) {
      const heard = new Promise<never>((resolve) => {
        const listen = (message: Serializable) => {
          if ((message as { type?: unknown }).type !== type) return
          child.off('message', listen)
          resolve(message as never)
        }
        child.on('message', listen)
      })
      return Promise.race([heard, failed])
    },
    on(type, listener) {
      child.on('message', (message) => {
        if ((message as { type?: unknown }).type === type) listener(message as never)
      })
    },
    async end() {
      if (child.connected) child.disconnect()
      const timer = setTimeout(killNow, 3000)
      await exited
      clearTimeout(timer)
      process.off('exit', killNow)
    },
  }
}
