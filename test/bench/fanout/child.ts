import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'

/** A process of this benchmark, which speaks by messages. */
export interface Child {
  send(message: object): void
  /** The next message of a type. */
  hear<Message>(type: string): Promise<Message>
  signal(name: NodeJS.Signals): void
  end(): Promise<void>
}

/** Starts a file of this folder. */
export function startChild(file: string, args: readonly string[], flags: readonly string[] = []): Child {
  const path = fileURLToPath(new URL(file, import.meta.url))
  const child: ChildProcess = fork(path, args, { execArgv: [...flags], serialization: 'advanced' })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  return {
    send: (message) => void child.send(message),
    hear: <Message>(type: string) =>
      new Promise<Message>((resolve, reject) => {
        const fail = () => reject(new Error(`${file} ended`))
        const listen = (message: { type: string }) => {
          if (message.type !== type) return
          child.off('message', listen)
          child.off('exit', fail)
          resolve(message as Message)
        }
        child.on('message', listen)
        child.once('exit', fail)
      }),
    signal: (name) => void child.kill(name),
    async end() {
      child.disconnect()
      await exited
    },
  }
}
