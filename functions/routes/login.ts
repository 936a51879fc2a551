import { createRoute, type OpenAPIHono, z } from '@hono/zod-openapi'
import { deleteCookie, setCookie } from 'hono/cookie'
import { actions } from '../../shared/access.ts'
import { RelayError } from '../../shared/errors.ts'
import type { Caller } from '../auth/authenticator.ts'
import { loginCookie, readBearer } from '../auth/guard.ts'
import { loginMs } from '../auth/logins.ts'
import type { AppEnv } from '../deps.ts'
import { describeProblems } from '../schemas/common.ts'
import type { Services } from '../services.ts'

const tags = ['access']

const identity = z
  .object({
    tenant: z.string().openapi({ description: 'Who the credential is of; empty where nobody is asked.' }),
    actions: z.array(z.enum(actions)),
    expiresAt: z
      .string()
      .optional()
      .openapi({ format: 'date-time', description: 'When the credential or the login ends.' }),
  })
  .openapi('Identity')

const content = { 'application/json': { schema: identity } }

const tellRoute = createRoute({
  method: 'get',
  path: '/v1/login',
  operationId: 'getIdentity',
  summary: 'Tell whose the credential or the login is',
  tags,
  responses: { 200: { description: 'Who asks.', content }, ...describeProblems(401, 429, 503) },
})

const openRoute = createRoute({
  method: 'post',
  path: '/v1/login',
  operationId: 'login',
  summary: 'Exchange the credential in `Authorization` for a cookie',
  description:
    'For browsers. The cookie ends with the credential, after twelve hours, or by logging out, and open streams with it. With it, what changes something takes the `Origin` of the relay itself.',
  tags,
  responses: { 201: { description: 'Logged in.', content }, ...describeProblems(401, 429, 503) },
})

const closeRoute = createRoute({
  method: 'delete',
  path: '/v1/login',
  operationId: 'logout',
  summary: "Log out; the login's streams end",
  tags,
  responses: { 204: { description: 'Logged out.' }, ...describeProblems(401, 403, 429, 503) },
})

/** `/v1/login`: how a page comes by a credential that no script can read. */
export function mountLogin(app: OpenAPIHono<AppEnv>, { authenticator, logins, now }: Services): void {
  app.openapi(tellRoute, (c) => c.json(tell(c.get('caller')), 200))

  app.openapi(openRoute, async (c) => {
    const caller = c.get('caller')
    if (!authenticator.isNeeded) return c.json(tell(caller), 201)
    const credential = readBearer(c)
    if (credential === undefined) throw new RelayError('unauthorized', 'Log in with `Authorization: Bearer …`.')
    const expiresAt = Math.min(now().getTime() + loginMs, caller.expiresAt ?? Number.POSITIVE_INFINITY)
    setCookie(c, loginCookie, await logins.open(caller.tenant, credential, expiresAt), {
      ...attributes,
      // Behind a proxy that ends TLS only the page knows how it was reached.
      secure: (c.req.header('origin') ?? c.req.url).startsWith('https:'),
      maxAge: Math.floor((expiresAt - now().getTime()) / 1000),
    })
    return c.json(tell({ ...caller, expiresAt }), 201)
  })

  app.openapi(closeRoute, async (c) => {
    const { login } = c.get('caller')
    if (login !== undefined) await logins.close(login)
    deleteCookie(c, loginCookie, attributes)
    return c.body(null, 204)
  })
}

const attributes = { path: '/v1', httpOnly: true, sameSite: 'Strict' } as const

function tell({ tenant, actions: given, expiresAt }: Caller): z.infer<typeof identity> {
  return {
    tenant,
    actions: [...given],
    // A token may say that it ends after the last day of dates.
    ...(expiresAt === undefined || expiresAt > 8.64e15 ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
  }
}
