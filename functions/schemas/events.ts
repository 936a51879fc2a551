import { z } from '@hono/zod-openapi'
import {
  createLimit,
  createNumber,
  createQuery,
  createText,
  cursor,
  describeValues,
  labelSelector,
  objectFields,
} from './common.ts'

const change = z.looseObject({ type: z.string(), from: z.unknown().optional(), to: z.unknown().optional() })

export const event = z
  .object({
    specversion: z.literal('1.0'),
    id: z.string(),
    source: z.string(),
    type: z.string().openapi({ example: 'k8s.pod.modified' }),
    subject: z.string(),
    time: z.iso.datetime(),
    datacontenttype: z.literal('application/json'),
    synthetic: z.enum(['relist', 'recreated', 'clock', 'state']).optional(),
    cursor: cursor.optional(),
    scope: z.enum(['entered', 'left']).optional(),
    data: z.looseObject({ ...z.object(objectFields).partial().shape, changes: z.array(change) }),
  })
  .openapi('Event', { description: 'A CloudEvents 1.0 event: one change of one object.' })

export const eventPage = z
  .object({
    events: z.array(event),
    next: cursor.openapi({ description: 'Where to go on; never absent, since the log has no end.' }),
  })
  .openapi('EventPage')

const filterFields = {
  resource: describeValues(
    'Plural names of resources. In lists, a leading `!` excludes and a trailing `*` matches any ending.',
    'pods',
  ),
  type: describeValues('Event types.', 'k8s.pod.*'),
  namespace: describeValues('Namespaces.', '!kube-*'),
  name: describeValues('Names of objects.'),
  phase: describeValues("A Pod's phase after the change.", 'Running'),
  'phase.to': describeValues('Only changes into one of these phases.'),
  'phase.from': describeValues('Only changes out of one of these phases.'),
  status: describeValues("The word in kubectl's STATUS column.", 'CrashLoopBackOff'),
  node: describeValues('The node that a Pod is bound to.'),
  holder: describeValues('Who holds a Lease, or held it until this change.'),
  change: describeValues('Kinds of change, of which the event reports one at least.', 'restarted'),
  container: describeValues('The container of that change.'),
  reason: describeValues('The reason of that change.', 'OOMKilled'),
  labelSelector,
  fieldSelector: createText(4096).optional().openapi({
    description: "A field selector in Kubernetes' syntax.",
    example: 'spec.nodeName=node-7,status.phase!=Succeeded',
  }),
  where: createText(4096).optional().openapi({
    description: 'A CEL expression over `event`, `data` and `old`; false where it fails.',
    example: 'data.restarts > 3 && old.phase == "Running"',
  }),
}

const beginning = {
  from: createText(128).min(1, 'must not be empty').optional().openapi({
    description:
      'Where to begin: `now` (default of a stream), `start` (default of a page), `state` (streams only: the current objects first), a cursor, or a time in RFC 3339.',
  }),
  ticket: createText(64).optional().openapi({
    description: 'For browsers, which cannot send a credential with a stream: what `POST /v1/tickets` gave.',
  }),
}

export const socketQuery = createQuery({ ...filterFields, ...beginning })

export const eventQuery = createQuery({
  ...filterFields,
  ...beginning,
  wait: createNumber({ least: 0, most: 60, standard: 0 }).openapi({
    description:
      'Pages only: how many seconds to wait for an event when there is none yet. Counts as a stream meanwhile.',
  }),
  limit: createLimit(100).openapi({ description: 'Pages only: how many events at most.' }),
})

export const eventHeaders = z.object({
  'last-event-id': z.string().optional().openapi({ description: 'The last cursor that was seen; wins over `from`.' }),
})
