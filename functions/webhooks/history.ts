import { completeEvent, type RelayEvent } from '../../shared/event.ts'
import { compileFilter, type Filter } from '../../shared/filter/filter.ts'
import type { LogReader } from '../../shared/log/reader.ts'

/** How many of the newest entries one request looks at. */
const scanLimit = 20_000
const pageSize = 1000
/** How many of the events that match are shown. */
const shown = 10

/** What a filter would have let through. */
export interface History {
  /** RFC 3339: the beginning of what was looked at. */
  since: string
  /** How many events there were of the resources and the namespaces that the filter names: of others, its owner may not hear. */
  looked: number
  matched: number
  /** False: there was more than one request looks at. */
  isComplete: boolean
  /** The newest of those that match. */
  latest: RelayEvent[]
}

/**
 * Tries a filter on the newest events.
 * @param since ms since 1970.
 */
export async function tryFilter(reader: LogReader, filter: Filter, since: number): Promise<History> {
  const { resource, namespace } = filter
  const isNamed = compileFilter({
    ...(resource === undefined ? {} : { resource }),
    ...(namespace === undefined ? {} : { namespace }),
  })
  const match = compileFilter(filter)
  const { seq: begin } = await reader.seek(since)
  const { epoch, last, seal } = await reader.bounds()
  const first = Math.max(begin, last - scanLimit)
  const latest: string[] = []
  let [looked, matched, at] = [0, 0, first]
  let oldest: string | undefined
  while (at < last) {
    const page = (await reader.read(at, pageSize)).filter(({ seq }) => seq <= last)
    at = page.at(-1)?.seq ?? last
    for (const { seq, json } of page) {
      const event = JSON.parse(json) as RelayEvent
      oldest ??= event.time
      if (isNamed(event) === undefined) continue
      looked++
      const scope = match(event)
      if (scope === undefined) continue
      matched++
      latest.push(completeEvent(json, seal.toCursor({ epoch, seq }), scope === 'in' ? undefined : scope))
      if (latest.length > shown) latest.shift()
    }
  }
  const isComplete = first === begin
  return {
    since: isComplete || oldest === undefined ? new Date(since).toISOString() : oldest,
    looked,
    matched,
    isComplete,
    latest: latest.map((json) => JSON.parse(json) as RelayEvent),
  }
}
