import { z } from '@hono/zod-openapi'
import { continuation, createCollection, createLimit, describeValues, labelSelector, objectFields } from './common.ts'

const container = z.object({
  name: z.string(),
  ready: z.boolean(),
  restarts: z.int(),
  state: z.string(),
  reason: z.string().optional(),
  exitCode: z.int().optional(),
  signal: z.int().optional(),
})

export const pod = z
  .object({
    ...objectFields,
    phase: z.string().openapi({ example: 'Running' }),
    status: z
      .string()
      .openapi({ description: 'The word that `kubectl get pods` prints.', example: 'CrashLoopBackOff' }),
    ready: z.string().openapi({ example: '1/1' }),
    restarts: z.int(),
    node: z.string().optional(),
    containers: z.array(container).optional(),
  })
  .openapi('Pod')

export type Pod = z.infer<typeof pod>

export const podCollection = createCollection('PodCollection', pod)

export const podQuery = z.strictObject({
  namespace: describeValues('Namespaces.'),
  name: describeValues('Names.'),
  phase: describeValues('Phases.', 'Running'),
  labelSelector,
  limit: createLimit(500),
  continue: continuation,
})
