import { RelayError } from '../shared/errors.ts'

interface Wish {
  /** From 0, refused, to 1. */
  quality: number
  /** 0 for any type, 1 for any of a kind, 2 for exactly this one. */
  precision: number
}

/**
 * Chooses between a stream and a page by `Accept`: whatever is wished for most, then whatever is named more exactly, then
 * the stream, so that curl and browsers' EventSource get one.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
 * @throws RelayError `not_acceptable` when neither will do.
 */
export function chooseFormat(accept: string | undefined): 'stream' | 'page' {
  const stream = weigh(accept, 'text', 'event-stream')
  const page = weigh(accept, 'application', 'json')
  if (stream.quality === 0 && page.quality === 0) {
    throw new RelayError('not_acceptable', 'Accept: there are text/event-stream and application/json.', {
      field: 'Accept',
    })
  }
  const isPage = page.quality > stream.quality || (page.quality === stream.quality && page.precision > stream.precision)
  return isPage ? 'page' : 'stream'
}

function weigh(accept: string | undefined, type: string, subtype: string): Wish {
  if (accept === undefined || accept.trim() === '') return { quality: 1, precision: 0 }
  let best: Wish = { quality: 0, precision: -1 }
  for (const item of accept.toLowerCase().split(',')) {
    const [range = '', ...parameters] = item.split(';').map((part) => part.trim())
    const precision = [`*/*`, `${type}/*`, `${type}/${subtype}`].indexOf(range)
    if (precision <= best.precision) continue
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    best = { quality: quality === undefined ? 1 : Number(quality.slice(2)) || 0, precision }
  }
  return best
}
