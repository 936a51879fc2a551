import type { Heard, Transport } from './recorder.ts'

/** The ways in which events are read, each as plainly as can be. */
export const transports = {
  async sse({ url, query }, cursor, hear, signal) {
    const headers = { accept: 'text/event-stream', ...(cursor === undefined ? {} : { 'last-event-id': cursor }) }
    const response = await fetch(`${url}/v1/events?from=start&${query}`, { headers, signal })
    for await (const block of split(response, '\n\n')) {
      const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1]
      const [id, event, json] = [field('id'), field('event') as Heard['control'], field('data')]
      if (id === undefined) continue
      if (json === undefined) hear({ control: 'heartbeat', cursor: id })
      else hear(event === undefined ? { cursor: id, json } : { control: event, cursor: id })
    }
  },
  async ndjson({ url, query }, cursor, hear, signal) {
    const headers = { accept: 'application/x-ndjson', ...(cursor === undefined ? {} : { 'last-event-id': cursor }) }
    const response = await fetch(`${url}/v1/events?from=start&${query}`, { headers, signal })
    for await (const line of split(response, '\n')) hearLine(line, hear)
  },
  async websocket({ url, query }, cursor, hear, signal) {
    const socket = new WebSocket(`${url.replace('http', 'ws')}/v1/events/ws?from=${cursor ?? 'start'}&${query}`)
    signal.addEventListener('abort', () => socket.close(), { once: true })
    socket.addEventListener('message', ({ data }) => {
      for (const line of String(data).trimEnd().split('\n')) hearLine(line, hear)
    })
    await new Promise<void>((resolve) => {
      socket.addEventListener('close', () => resolve())
      socket.addEventListener('error', () => resolve())
    })
  },
  async poll({ url, query }, cursor, hear, signal) {
    // Where a page begins is told by the one before it, and where the first begins by the head of a stream.
    let from = cursor ?? (await readStart(url, signal))
    if (cursor === undefined) hear({ control: 'ready', cursor: from })
    while (!signal.aborted) {
      const address = `${url}/v1/events?from=${from}&limit=7&wait=1&${query}`
      const response = await fetch(address, { headers: { accept: 'application/json' }, signal })
      const page = (await response.json()) as { oldest?: string; next: string; events: { cursor: string }[] }
      from = page.oldest ?? page.next
      if (page.oldest === undefined) {
        // What JSON.stringify writes of what JSON.parse read has its members in the same order.
        for (const event of page.events) hear({ cursor: event.cursor, json: JSON.stringify(event) })
      }
      hear({ control: page.oldest === undefined ? 'heartbeat' : 'reset', cursor: from })
    }
  },
} satisfies Record<string, Transport>

async function readStart(url: string, signal: AbortSignal): Promise<string> {
  const init = { method: 'HEAD', headers: { accept: 'text/event-stream' }, signal }
  return (await fetch(`${url}/v1/events?from=start`, init)).headers.get('relay-cursor') ?? ''
}

function hearLine(line: string, hear: (heard: Heard) => void): void {
  if (line === '') return
  const { relay, cursor } = JSON.parse(line) as { relay?: Heard['control']; cursor?: string }
  if (cursor === undefined) return
  hear(relay === undefined ? { cursor, json: line } : { control: relay, cursor })
}

async function* split(response: Response, mark: string): AsyncGenerator<string> {
  if (!response.ok) throw new Error(await response.text())
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader()
  if (reader === undefined) throw new Error('no body')
  let rest = ''
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
    const parts = (rest + piece.value).split(mark)
    rest = parts.pop() ?? ''
    yield* parts
  }
}
