const comparable = /^[1-9][0-9]*$/

/**
 * Compares two resourceVersions of one resource type: negative when the first is older. Undefined when either is of a form
 * whose order is not defined (aggregated APIs): such versions are equal or different, nothing else.
 * @see https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions (KEP-5504)
 */
export function compareResourceVersions(a: string, b: string): number | undefined {
  if (a === b) return 0
  if (!comparable.test(a) || !comparable.test(b)) return undefined
  if (a.length !== b.length) return a.length - b.length
  return a < b ? -1 : 1
}
