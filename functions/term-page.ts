import { invalid } from '../shared/errors.ts'
import type { EndedTerm, OpenTerm } from '../shared/lease.ts'
import type { StoredTerm } from '../shared/state.ts'
import { type Span, selectTerms } from './lease-view.ts'

/** A page of terms, newest first. */
interface TermPage<Term> {
  items: Term[]
  /** Absent on the last page. */
  next?: string
}

/**
 * Takes a page of the terms that overlap a span. Terms that end meanwhile come in front: a page goes on behind the last term
 * of the page before, wherever that is by now.
 * @param present the terms that are still running; they are on the first page, before all others.
 * @throws RelayError `invalid` for a continuation that makes no sense.
 */
export function pageTerms(
  present: OpenTerm | undefined,
  ended: readonly StoredTerm<EndedTerm>[],
  query: Span & { limit: number; continue?: string | undefined },
): TermPage<OpenTerm | EndedTerm> {
  const after = query.continue === undefined ? undefined : readContinuation(query.continue)
  const first = after === undefined && present !== undefined ? selectTerms([present], query) : []
  const rest = ended.filter(({ seq, term }) => (after === undefined || seq < after) && isIn(term, query))
  const taken = rest.slice(0, query.limit - first.length)
  const last = taken.at(-1)?.seq ?? rest[0]?.seq
  const page: TermPage<OpenTerm | EndedTerm> = { items: [...first, ...taken.map(({ term }) => term)] }
  // A first page that the present term fills is continued before the newest of the ended ones.
  if (rest.length > taken.length && last !== undefined) page.next = String(taken.length === 0 ? last + 1 : last)
  return page
}

function isIn(term: EndedTerm, span: Span): boolean {
  return selectTerms([term], span).length > 0
}

function readContinuation(text: string): number {
  if (!/^\d{1,16}$/.test(text)) throw invalid('continue', 'not the `next` of a page before')
  return Number(text)
}
