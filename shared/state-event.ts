import type { ObjectData, RelayEvent } from './event.ts'
import { compilePattern } from './filter/pattern.ts'
import { nameKind, nameResource, pathOf, type WatchedResource } from './resource.ts'

/** What events name a resource by. */
export type NamedResource = Pick<WatchedResource, 'group' | 'version' | 'resource' | 'kind'>

/**
 * Tells a current object as an event, to a reader who starts with the state; in the log there is none such.
 * @param time RFC 3339, when it is told.
 */
export function toStateEvent(cluster: string, resource: NamedResource, data: ObjectData, time: string): RelayEvent {
  const { group, version, resource: plural } = resource
  const place = data.namespace === '' ? {} : { namespace: data.namespace }
  return {
    specversion: '1.0',
    id: `${cluster}/${data.uid}/${data.resourceVersion}-state`,
    source: `/clusters/${cluster}${pathOf({ group, version, resource: plural, ...place })}`,
    type: `k8s.${nameKind(resource)}.added`,
    subject: data.namespace === '' ? data.name : `${data.namespace}/${data.name}`,
    time,
    datacontenttype: 'application/json',
    synthetic: 'state',
    data: { ...data, changes: [] },
  }
}

/** Those of a filter's resources that are watched, each once: several feeds may fill the same known set. */
export function selectResources<Resource extends NamedResource>(
  watched: readonly Resource[],
  wanted: string[] | undefined,
): Resource[] {
  const pattern = compilePattern(wanted ?? [])
  const chosen = new Map<string, Resource>()
  for (const resource of watched) {
    if (pattern.test(resource.resource)) chosen.set(nameResource(resource), resource)
  }
  return [...chosen.values()]
}
