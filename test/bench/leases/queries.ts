import { Pool } from 'undici'

/** How a server answered: how often, requests a second, and the time that the slowest of each hundred took, in ms. */
export interface Answers {
  count: number
  perSecond: number
  p99: number
}

/** So many ask at once, each again as soon as it has its answer, over connections that stay open. */
const askers = 16

/** Asks for paths in turn for so many seconds. Throws for any answer but 200. */
export async function ask(url: string, seconds: number, path: (turn: number) => string): Promise<Answers> {
  const pool = new Pool(url, { connections: askers })
  const times: number[] = []
  const began = performance.now()
  const end = began + seconds * 1000
  let turn = 0
  const loop = async () => {
    for (let asked = performance.now(); asked < end; asked = performance.now()) {
      const { statusCode, body } = await pool.request({ path: path(turn++), method: 'GET' })
      const text = await body.text()
      if (statusCode !== 200) throw new Error(`a query was answered with ${statusCode}: ${text}`)
      times.push(performance.now() - asked)
    }
  }
  await Promise.all(Array.from({ length: askers }, loop))
  const took = (performance.now() - began) / 1000
  await pool.close()
  times.sort((a, b) => a - b)
  return { count: times.length, perSecond: times.length / took, p99: times[Math.floor(times.length * 0.99)] ?? 0 }
}
