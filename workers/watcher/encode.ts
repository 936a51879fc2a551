import { type Change, gapType, type ObjectData, type Synthetic, type Verb } from '../../shared/event.ts'
import { pathOf, type WatchedResource } from '../../shared/resource.ts'
import { formatTime } from '../clock.ts'
import type { GapReason } from '../reflector/state.ts'

/** What marks the id of an event that stands for no watch event, so that it is never taken for the real one. */
function markOf(verb: Verb, synthetic: Synthetic | undefined): string {
  if (synthetic === undefined) return ''
  return synthetic === 'relist' && verb === 'deleted' ? '-deleted' : verb === 'expired' ? '-expired' : `-${synthetic}`
}

/** Writes the events of one watched collection. */
export interface EventEncoder {
  /** `dataJson` is the JSON of `data`: it is also the stored record, and so written only once. */
  encode(event: {
    verb: Verb
    synthetic?: Synthetic | undefined
    data: ObjectData
    dataJson: string
    changes: readonly Change[]
    now: number
    /** How often the server's history was replaced: the same object and version mean something else in each. */
    history: number
  }): string
  /** The record that announces lost history: what happened between the two versions is not known. */
  encodeGap(gap: { reason: GapReason; from: string; to: string; now: number }): string
}

export function createEventEncoder(cluster: string, watched: WatchedResource, kind: string): EventEncoder {
  const root = `/clusters/${cluster}`
  const sources = new Map<string, string>()

  /** The JSON of the `source` of objects in this namespace. */
  function sourceIn(namespace: string): string {
    let source = sources.get(namespace)
    if (source === undefined) {
      source = quote(`${root}${namespace === '' ? pathOf(watched) : pathOf({ ...watched, namespace })}`)
      sources.set(namespace, source)
    }
    return source
  }

  return {
    encode({ verb, synthetic, data, dataJson, changes, now, history }) {
      const { namespace, name, uid, resourceVersion } = data
      const mark = markOf(verb, synthetic)
      const id = quote(`${cluster}/${uid}/${resourceVersion}${history === 0 ? '' : `~${history}`}${mark}`)
      const subject = quote(namespace === '' ? name : `${namespace}/${name}`)
      const end = synthetic === undefined ? '' : `,"synthetic":"${synthetic}"`
      return `{"specversion":"1.0","id":${id},"source":${sourceIn(namespace)},"type":"k8s.${kind}.${verb}","subject":${subject},"time":"${formatTime(now)}","datacontenttype":"application/json"${end},"data":${dataJson.slice(0, -1)},"changes":${JSON.stringify(changes)}}}`
    },
    encodeGap({ reason, from, to, now }) {
      const path = pathOf(watched)
      return JSON.stringify({
        specversion: '1.0',
        id: `${cluster}/relay${path}/gap-${from}-${to}`,
        source: `${root}${path}`,
        type: gapType,
        subject: watched.resource,
        time: formatTime(now),
        datacontenttype: 'application/json',
        data: { namespace: watched.namespace, reason, fromResourceVersion: from, toResourceVersion: to, changes: [] },
      })
    },
  }
}

function quote(text: string): string {
  return JSON.stringify(text)
}
