import { expect, it } from 'vitest'
import type { RelayEvent } from '../../../shared/event.ts'
import { parseResources, type WatchedResource } from '../../../shared/resource.ts'
import { createEventEncoder } from '../../../workers/watcher/encode.ts'

function encodeGap(resources: string): RelayEvent {
  const [watched] = parseResources(resources)
  const encoder = createEventEncoder('test', watched as WatchedResource, 'pod')
  return JSON.parse(encoder.encodeGap({ reason: 'expired', from: '5', to: '9', now: 0 }))
}

it('names the namespace in the record of a gap where the collection is of one, so that no other is told', () => {
  expect(encodeGap('pods?namespace=shop').data).toMatchObject({ namespace: 'shop', reason: 'expired' })
  expect(encodeGap('pods').data).toEqual({
    reason: 'expired',
    fromResourceVersion: '5',
    toResourceVersion: '9',
    changes: [],
  })
})
