import { type RelayEvent, resourceOf } from '../event.ts'
import { parsePosition } from '../position.ts'
import type { Delivery } from './delivery.ts'

/** Names the object that an event is about. Holds no white space: Kubernetes allows none in names. */
export function lineOf(event: Pick<RelayEvent, 'source' | 'subject'>): string {
  return `${resourceOf(event)}/${event.subject}`.replaceAll(/\s/g, '_')
}

/**
 * A delivery's place in the lines of its webhook, one sorted set: first by object, then by the event's place in the log.
 * Empty where no order is kept.
 */
export function lineMember({ object, cursor }: Pick<Delivery, 'object' | 'cursor'>, id: string): string {
  if (object === undefined) return ''
  return `${object} ${parsePosition(cursor ?? id)
    .seq.toString(36)
    .padStart(11, '0')} ${id}`
}
