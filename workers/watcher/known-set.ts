import type { ObjectData } from '../../shared/event.ts'
import type { StateReader } from '../../shared/state.ts'

/** One object as it is known; the record is kept as text, which takes a fraction of the memory of an object. */
export interface Known {
  uid: string
  resourceVersion: string
  json: string
}

/** The known objects of one watched collection, by `<namespace>/<name>`. */
export type KnownSet = Map<string, Known>

const pageSize = 1000

/** Reads the known set as the last writer left it. */
export async function loadKnownSet(state: StateReader, resource: string, namespace?: string): Promise<KnownSet> {
  const known: KnownSet = new Map()
  let after: string | undefined
  do {
    const page = await state.page<ObjectData>(resource, {
      limit: pageSize,
      ...(namespace === undefined ? {} : { namespace }),
      ...(after === undefined ? {} : { after }),
    })
    for (const { key, data, kept } of page.objects) {
      known.set(key, createKnown(kept === undefined ? data : { ...data, kept }))
    }
    after = page.next
  } while (after !== undefined)
  return known
}

export function createKnown(data: ObjectData, json = JSON.stringify(data)): Known {
  return { uid: data.uid, resourceVersion: data.resourceVersion, json }
}

export function keyOf({ namespace, name }: Pick<ObjectData, 'namespace' | 'name'>): string {
  return `${namespace}/${name}`
}
