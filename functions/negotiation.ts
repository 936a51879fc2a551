import { RelayError } from '../shared/errors.ts'

interface Wish {
  /** From 0, refused, to 1. */
  quality: number
  /** 0 for any type, 1 for any of a kind, 2 for exactly this one. */
  precision: number
}

/** What events can be read as, the first where all are equally welcome. */
const types = {
  stream: 'text/event-stream',
  page: 'application/json',
  lines: 'application/x-ndjson',
  batch: 'application/cloudevents-batch+json',
} as const

export type EventFormat = keyof typeof types

/**
 * Chooses a format by `Accept`: whatever is wished for most, then whatever is named more exactly, then the stream, so that
 * curl and browsers' EventSource get one.
 * @see https://www.rfc-editor.org/rfc/rfc9110#section-12.5.1
 * @throws RelayError `not_acceptable` when none will do.
 */
export function chooseFormat(accept: string | undefined): EventFormat {
  let chosen: EventFormat | undefined
  let best: Wish = { quality: 0, precision: -1 }
  for (const [format, type] of Object.entries(types) as [EventFormat, string][]) {
    const wish = weigh(accept, type)
    const isBetter = wish.quality > best.quality || (wish.quality === best.quality && wish.precision > best.precision)
    if (wish.quality === 0 || !isBetter) continue
    chosen = format
    best = wish
  }
  if (chosen !== undefined) return chosen
  throw new RelayError('not_acceptable', `Accept: there are ${Object.values(types).join(', ')}.`, { field: 'Accept' })
}

function weigh(accept: string | undefined, type: string): Wish {
  if (accept === undefined || accept.trim() === '') return { quality: 1, precision: 0 }
  let best: Wish = { quality: 0, precision: -1 }
  for (const item of accept.toLowerCase().split(',')) {
    const [range = '', ...parameters] = item.split(';').map((part) => part.trim())
    const precision = [`*/*`, `${type.split('/')[0]}/*`, type].indexOf(range)
    if (precision <= best.precision) continue
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    best = { quality: quality === undefined ? 1 : Number(quality.slice(2)) || 0, precision }
  }
  return best
}
