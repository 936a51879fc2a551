import { invalid } from '../shared/errors.ts'
import type { Filter } from '../shared/filter/filter.ts'
import type { WatchedResource } from '../shared/resource.ts'

/**
 * Refuses a filter that names a resource of which there will never be an event.
 * @throws RelayError `invalid`.
 */
export function requireWatched(filter: Filter, resources: readonly WatchedResource[], path = ''): void {
  const watched = new Set(resources.map(({ resource }) => resource))
  for (const item of filter.resource ?? []) {
    const name = item.replace(/^!/, '')
    if (name.endsWith('*') || watched.has(name)) continue
    throw invalid(`${path}resource`, `"${name}" is not watched; there are ${[...watched].join(', ')}`)
  }
}
