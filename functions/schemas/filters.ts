import { z } from '@hono/zod-openapi'
import { cursor, filterObject } from './common.ts'
import { event } from './events.ts'

const wholeMinutes = 'must be a whole number from 1 to 1440'

export const checkInput = z
  .strictObject({
    filter: filterObject.openapi({
      type: 'object',
      description: 'The same names as in the query of `/v1/events`; a value or a list of values.',
      example: { change: ['restarted'], reason: ['OOMKilled'] },
    }),
    minutes: z
      .int(wholeMinutes)
      .min(1, wholeMinutes)
      .max(1440, wholeMinutes)
      .default(15)
      .openapi({ description: 'How far to look back.' }),
    event: z.string().min(1).max(512).optional().openapi({
      description: 'The id or the cursor of an event: says which clauses let it through and which stopped it.',
    }),
  })
  .openapi('FilterCheck')

const history = z.object({
  since: z.string().openapi({ format: 'date-time', description: 'The beginning of what was looked at.' }),
  looked: z.int().openapi({ description: 'How many events were looked at.' }),
  matched: z.int(),
  isComplete: z.boolean().openapi({ description: 'False when there was more than one request looks at.' }),
  latest: z.array(event).openapi({ description: 'The newest of those that match.' }),
})

const explanation = z.object({
  id: z.string(),
  cursor,
  passes: z.boolean(),
  scope: z.enum(['entered', 'left']).optional(),
  clauses: z.array(z.object({ clause: z.string(), passes: z.boolean() })),
})

export const checkResult = z
  .object({
    valid: z.boolean(),
    problem: z.object({ field: z.string(), detail: z.string() }).optional().openapi({ description: 'Why it is not.' }),
    history: history.optional(),
    event: explanation.optional(),
  })
  .openapi('FilterCheckResult')
