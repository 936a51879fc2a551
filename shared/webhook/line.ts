import type { RelayEvent } from '../event.ts'
import { resourceOf } from '../event.ts'

/** Names the object that an event is about. Holds no space: Kubernetes allows none in names. */
export function lineOf(event: Pick<RelayEvent, 'source' | 'subject'>): string {
  return `${resourceOf(event)}/${event.subject}`.replaceAll(' ', '_')
}

/** A delivery's place in the lines of its webhook, one sorted set: first by object, then by the event's place in the log. */
export function lineMember(object: string, seq: number, id: string): string {
  return `${object} ${seq.toString(36).padStart(11, '0')} ${id}`
}
