import { finished, type Readable } from 'node:stream'

/**
 * Hands on each chunk of a body as it comes. An async iterator would do the same in half the lines; but a server writes each
 * watch event as a chunk of its own, and an iterator takes as long for a chunk as a parser for a small event.
 * @param take answers what to end with; nothing, to go on; or a promise of either, until which nothing more is read.
 * @returns what `take` ended with, or undefined at the end of the body.
 * @throws what `take` throws, and whatever ends the body too early.
 */
export function readBody<End>(
  body: Readable,
  take: (chunk: Uint8Array) => End | undefined | Promise<End | undefined>,
): Promise<End | undefined> {
  return new Promise((resolve, reject) => {
    /** Nothing that is still in a buffer is handed on. */
    const leave = () => body.off('data', hand).destroy()
    const end = (answer: End) => {
      resolve(answer)
      leave()
    }
    const fail = (error: unknown) => {
      reject(error)
      leave()
    }
    const hand = (chunk: Uint8Array) => {
      try {
        const answer = take(chunk)
        if (answer === undefined) return
        if (!(answer instanceof Promise)) return end(answer)
        body.pause()
        answer.then((later) => (later === undefined ? body.resume() : end(later)), fail)
      } catch (error) {
        fail(error)
      }
    }
    finished(body, (error) => (error ? reject(error) : resolve(undefined)))
    body.on('data', hand)
  })
}
