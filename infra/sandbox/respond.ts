import type { IncomingMessage, ServerResponse } from 'node:http'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Rendition } from './negotiate.ts'
import { encodeJson } from './render.ts'

const compress = promisify(gzip)

/** apiserver `responsewriters`: smaller answers are not worth compressing. */
const gzipThreshold = 128 * 1024
/** What Go's HTTP/2 server buffers: only what fits is sent with a length. */
const lengthThreshold = 4096

async function encode(body: unknown, rendition: Rendition): Promise<{ text: string; type: string }> {
  if (rendition.format === 'yaml') {
    const { dumpYaml } = await import('@kubernetes/client-node')
    return { text: dumpYaml(JSON.parse(encodeJson(body))), type: 'application/yaml' }
  }
  const text = encodeJson(body, rendition.pretty)
  return { text: rendition.pretty ? text : `${text}\n`, type: 'application/json' }
}

function send(response: ServerResponse, code: number, body: Buffer): void {
  response.statusCode = code
  if (body.length <= lengthThreshold) response.setHeader('Content-Length', body.length)
  else response.setHeader('Transfer-Encoding', 'chunked')
  response.end(body)
}

/** Writes one complete answer, compressed if it is large and the client can read that. */
export async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  code: number,
  body: unknown,
  rendition: Rendition,
): Promise<void> {
  const { text, type } = await encode(body, rendition)
  if (!response.hasHeader('Content-Type')) response.setHeader('Content-Type', type)
  const bytes = Buffer.from(text)
  const accepts = String(request.headers['accept-encoding'] ?? '').includes('gzip')
  if (bytes.length < gzipThreshold || !accepts || code !== 200) {
    send(response, code, bytes)
    return
  }
  response.setHeader('Content-Encoding', 'gzip')
  response.setHeader('Vary', 'Accept-Encoding')
  const packed = await compress(bytes, { level: 1 })
  send(response, code, packed)
}

/** Writes plain text as Go's `http.Error` does. */
export function respondText(response: ServerResponse, code: number, text: string): void {
  response.setHeader('Content-Type', 'text/plain; charset=utf-8')
  response.setHeader('X-Content-Type-Options', 'nosniff')
  send(response, code, Buffer.from(text))
}
