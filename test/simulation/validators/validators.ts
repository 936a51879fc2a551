import type { History } from '../history.ts'
import { checkOrdered, checkReliable, checkUnique } from './log.ts'
import { checkFilter, checkResumable } from './reading.ts'
import { checkAtomic, checkBookmarkable, checkCreateDelete, checkPreviousState } from './state.ts'

/** What a history must be, in the manner of etcd's robustness tests: each answers what is wrong, in words. */
export const validators = {
  ordered: checkOrdered,
  unique: checkUnique,
  reliable: checkReliable,
  atomic: checkAtomic,
  resumable: checkResumable,
  bookmarkable: checkBookmarkable,
  'filter-correct': checkFilter,
  'previous-state-correct': checkPreviousState,
  'create-delete-correct': checkCreateDelete,
} satisfies Record<string, (history: History) => string[]>

export interface Violation {
  validator: string
  message: string
}

/** Judges a history by all validators; a failure of the relay's own code is a violation as well. */
export function judgeHistory(history: History): Violation[] {
  const faults = history.faults.map((message) => ({ validator: 'no-fault', message }))
  const found = Object.entries(validators).flatMap(([validator, check]) =>
    check(history).map((message) => ({ validator, message })),
  )
  return [...faults, ...found]
}
