/** Tells whether a value, or any of several, is wanted. */
export interface Pattern {
  test(value: string): boolean
  /** True when one of the values is wanted and none is excluded; without values, only exclusions hold. */
  testAny(values: readonly string[]): boolean
}

/**
 * Compiles a list of values: a trailing `*` matches any ending, a leading `!` excludes. A value is wanted when one of the
 * plain items matches it, or there is none of those, and no exclusion does.
 */
export function compilePattern(items: readonly string[]): Pattern {
  const includes = compileItems(items.filter((item) => !item.startsWith('!')))
  const excludes = compileItems(items.filter((item) => item.startsWith('!')).map((item) => item.slice(1)))
  return {
    test: (value) => (includes?.(value) ?? true) && !(excludes?.(value) ?? false),
    testAny: (values) => (includes === undefined || values.some(includes)) && !values.some(excludes ?? (() => false)),
  }
}

/** The values of a list that names each of them; undefined when it has wildcards or exclusions. */
export function listExact(items: readonly string[] | undefined): readonly string[] | undefined {
  const isExact = items?.every((item) => !item.startsWith('!') && !item.endsWith('*')) ?? false
  return isExact ? items : undefined
}

function compileItems(items: readonly string[]): ((value: string) => boolean) | undefined {
  if (items.length === 0) return undefined
  const exact = new Set(items.filter((item) => !item.endsWith('*')))
  const prefixes = items.filter((item) => item.endsWith('*')).map((item) => item.slice(0, -1))
  if (prefixes.length === 0) return (value) => exact.has(value)
  return (value) => exact.has(value) || prefixes.some((prefix) => value.startsWith(prefix))
}
