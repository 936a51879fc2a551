/** One line that the relay sends over a WebSocket. */
interface Line {
  relay?: string
  cursor?: string
  field?: string
  data?: { name: string }
}

/** A standard WebSocket that collects lines. */
export interface TestSocket {
  readonly lines: Line[]
  /** Hears of each line as it comes. */
  onLine: (line: Line) => void
  /** Names of the objects that events were about. */
  names(): string[]
  /** How often the relay said this of itself. */
  count(relay: string): number
  send(text: string): void
  close(): void
  /** The code that it was closed with. */
  readonly closed: Promise<number>
}

/** Opens one; resolves when it is open, or refused. */
export async function openSocket(url: string, query: string): Promise<TestSocket> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/events/ws${query}`)
  const lines: Line[] = []
  const closed = new Promise<number>((resolve) => socket.addEventListener('close', ({ code }) => resolve(code)))
  const test: TestSocket = {
    lines,
    onLine: () => undefined,
    names: () => lines.flatMap(({ data }) => (data === undefined ? [] : [data.name])),
    count: (relay) => lines.filter((line) => line.relay === relay).length,
    send: (text) => socket.send(text),
    close: () => socket.close(1000),
    closed,
  }
  socket.addEventListener('message', ({ data }) => {
    for (const text of String(data).trimEnd().split('\n')) {
      const line = JSON.parse(text) as Line
      lines.push(line)
      test.onLine(line)
    }
  })
  await new Promise<void>((resolve) => {
    socket.addEventListener('open', () => resolve())
    socket.addEventListener('error', () => resolve())
  })
  return test
}
