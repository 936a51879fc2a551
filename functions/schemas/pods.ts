import { z } from '@hono/zod-openapi'
import {
  continuation,
  createCollection,
  createLimit,
  createQuery,
  describeValues,
  labelSelector,
  objectFields,
} from './common.ts'

const quantities = z.object({ cpu: z.string().optional(), memory: z.string().optional() }).optional()
const resources = z.object({ requests: quantities, limits: quantities }).optional()

const container = z.object({
  name: z.string(),
  kind: z.enum(['init', 'sidecar', 'ephemeral']).optional(),
  ready: z.boolean(),
  restarts: z.int(),
  state: z.string(),
  reason: z.string().optional(),
  exitCode: z.int().optional(),
  signal: z.int().optional(),
  resources: resources.openapi({ description: 'What it has.' }),
  requested: resources.openapi({ description: 'What it is to have, where that is something else.' }),
  last: z
    .object({
      exitCode: z.int(),
      signal: z.int().optional(),
      reason: z.string().optional(),
      finishedAt: z.string().optional(),
    })
    .optional()
    .openapi({ description: 'How the run before this one ended.' }),
})

export const pod = z
  .object({
    ...objectFields,
    phase: z.string().openapi({ example: 'Running' }),
    status: z
      .string()
      .openapi({ description: 'The word that `kubectl get pods` prints.', example: 'CrashLoopBackOff' }),
    ready: z.string().openapi({ example: '1/1' }),
    isReady: z.boolean().openapi({ description: 'The Ready condition.' }),
    restarts: z.int(),
    node: z.string().optional(),
    reason: z.string().optional().openapi({ description: "The Pod's own reason.", example: 'Evicted' }),
    unschedulable: z.string().optional().openapi({ description: 'Why the scheduler cannot place it.' }),
    terminating: z.string().optional().openapi({ description: 'Its deletionTimestamp.' }),
    disrupted: z.string().optional().openapi({ description: 'Why it is disrupted.', example: 'PreemptionByScheduler' }),
    resizing: z.string().optional().openapi({ description: 'How far a resize in place is.', example: 'InProgress' }),
    containers: z.array(container),
  })
  .openapi('Pod')

export type Pod = z.infer<typeof pod>

export const podCollection = createCollection('PodCollection', pod)

export const podQuery = createQuery({
  namespace: describeValues('Namespaces, also as `team-*` or `!kube-*`.'),
  name: describeValues('Names, in the same way.'),
  phase: describeValues('Phases.', 'Running'),
  labelSelector,
  limit: createLimit(500),
  continue: continuation,
})
