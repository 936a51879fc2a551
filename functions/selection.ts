import { type Filter, listClauses, parseFilter } from '../shared/filter/filter.ts'
import type { Caller } from './auth/authenticator.ts'
import { requireWatched } from './resources.ts'
import type { Services } from './services.ts'

/** What a reader of events gets to see. */
export interface Selection {
  /** What the caller asked for, narrowed to what the caller may see. */
  readonly filter: Filter
  /** The clauses that were asked for, to which cursors are bound: rights come and go, and a cursor is to outlive that. */
  readonly clauses: readonly string[]
}

/**
 * Reads what a caller asks for.
 * @param path what comes before the name of a clause in errors.
 * @throws RelayError `invalid`, `unprocessable` or `forbidden`.
 */
export async function select(services: Services, caller: Caller, input: object, path = ''): Promise<Selection> {
  const asked = parseFilter({ ...input }, path)
  requireWatched(asked, services.resources, path)
  return { filter: await services.narrow(caller, asked), clauses: listClauses(asked) }
}
