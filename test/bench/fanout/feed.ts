import type { RelayEvent } from '../../../shared/event.ts'

/** What stands before the time in every event that is sent. */
export const sentAtMark = '"sentAt":'

/** What stands before the number in the id of every event. */
export const numberMark = '"id":"bench/6163c216-0000-4000-8000-'

/** A small event, of about 420 bytes. */
export function createEvent(number: number, namespace = 'shop', end = 'x'.repeat(24)): string {
  const event: RelayEvent = {
    specversion: '1.0',
    id: `bench/6163c216-0000-4000-8000-${number}/${number}`,
    source: `/clusters/bench/api/v1/namespaces/${namespace}/pods`,
    type: 'k8s.pod.modified',
    subject: `${namespace}/web-${number % 500}`,
    time: new Date().toISOString(),
    datacontenttype: 'application/json',
    data: {
      namespace,
      name: `web-${number % 500}`,
      phase: 'Running',
      changes: [{ type: 'phase', from: 'Pending', to: 'Running' }],
      // Sixteen characters, and never the last of the text: readers take it from a fixed place.
      sentAt: 0,
      end,
    },
  }
  const time = (performance.timeOrigin + performance.now()).toFixed(2).padStart(16, ' ')
  return JSON.stringify(event).replace('"sentAt":0', `${sentAtMark}${time}`)
}
