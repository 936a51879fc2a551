import type { Normalizer } from './normalizer.ts'
import { compareLabels, readMeta } from './normalizer.ts'

/** Turns objects that the relay has no special knowledge of into events. */
export function createObjectNormalizer(kind: string): Normalizer {
  return {
    kind,
    read: readMeta,
    follow: (old, next) => ({ data: next, changes: old === undefined ? [] : compareLabels(old, next), isEvent: true }),
    end: (old, last) => ({ data: last, changes: compareLabels(old, last), isEvent: true }),
  }
}
