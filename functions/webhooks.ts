import { OpenAPIHono } from '@hono/zod-openapi'
import { invalid, type RelayError } from '../shared/errors.ts'
import { createWebhookContext, type WebhookRouteDeps } from './webhooks/context.ts'
import { mountDeliveries } from './webhooks/deliveries.ts'
import { mountExplanation } from './webhooks/explain.ts'
import { mountManagement } from './webhooks/manage.ts'
import { mountRegistration } from './webhooks/register.ts'
import { mountSecrets } from './webhooks/secrets.ts'
import { mountSwitches } from './webhooks/switch.ts'
import { mountTasks } from './webhooks/tasks.ts'

export type { WebhookRouteDeps } from './webhooks/context.ts'

/** Creates the routes of `/v1/webhooks`. They throw `RelayError`s, which the app answers. */
export function createWebhookRoutes(deps: WebhookRouteDeps): OpenAPIHono {
  const context = createWebhookContext(deps)
  const app = new OpenAPIHono({
    defaultHook: (result) => {
      if (!result.success) throw toInvalid(result.error.issues)
    },
  })
  mountRegistration(app, context)
  mountManagement(app, context)
  mountSecrets(app, context)
  mountSwitches(app, context)
  mountDeliveries(app, context)
  mountExplanation(app, context)
  mountTasks(app, context)
  return app
}

interface Issue {
  readonly code: string
  readonly path: readonly PropertyKey[]
  readonly message: string
  readonly keys?: readonly string[]
  readonly issues?: readonly { readonly message: string }[]
}

function toInvalid(issues: readonly Issue[]): RelayError {
  const [issue] = issues
  const unknown = issue?.keys?.[0]
  const path = [...(issue?.path ?? []), ...(unknown === undefined ? [] : [unknown])].map(String).join('.')
  const problem = issue === undefined ? 'not valid' : describe(issue)
  return invalid(path === '' ? 'body' : path, unknown === undefined ? problem : 'not known here; see /openapi.json')
}

function describe({ code, message, issues }: Issue): string {
  if (code === 'invalid_type' && message.endsWith('received undefined')) return 'is missing'
  // What is wrong with a name is said inside.
  return (code === 'invalid_key' ? issues?.[0]?.message : undefined) ?? message
}
