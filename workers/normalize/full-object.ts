import type { ObjectData } from '../../shared/event.ts'
import type { SecretKind } from '../../shared/resource.ts'
import type { Normalizer } from './normalizer.ts'
import { redactObject } from './redact.ts'

/** Objects whose JSON is longer are not sent whole: the log is shared by all. */
const sizeLimit = 256 * 1024

/**
 * Makes a normalizer attach the whole object to its events, redacted; the current state does not get it. One that is too
 * large is named by its size instead, as `objectOmitted`.
 * @param reveal the kinds of values that are not hidden.
 */
export function attachObjects<Data extends ObjectData>(
  inner: Normalizer<Data>,
  reveal: readonly SecretKind[],
): Normalizer<Data> {
  const revealed = new Set(reveal)
  return {
    ...inner,
    read(object) {
      const whole = redactObject(object, revealed)
      const size = JSON.stringify(whole).length
      return { ...inner.read(object), attached: size > sizeLimit ? { objectOmitted: size } : { object: whole } }
    },
  }
}
