import type { Body } from './client.ts'
import type { Row, Scene } from './run.ts'

const versionOf = ({ metadata }: Body) => metadata?.resourceVersion ?? ''

async function watchPods({ client, pods }: Scene) {
  const { body } = await client.send('GET', `${pods}?limit=1`)
  return client.watch(`${pods}?watch=1&resourceVersion=${versionOf(body)}`)
}

/** Writes, as far as a watch shows how they came about, and refusals by their shape. */
export const writeRows: readonly Row[] = [
  {
    name: 'a dry run changes nothing',
    async run(scene) {
      const { code } = await scene.client.send('POST', `${scene.leases}?dryRun=All`, { metadata: { name: 'a' } })
      const found = await scene.client.send('GET', `${scene.leases}/a`)
      scene.check([code, found.code], [201, 404])
    },
  },
  {
    name: 'a stale resourceVersion is 409 Conflict, a second object of a name 409 AlreadyExists',
    async run(scene) {
      const made = await scene.create(scene.leases, 'a')
      await scene.patch(scene.leases, 'a', { metadata: { labels: { x: 'y' } } })
      const stale = await scene.client.send('PUT', `${scene.leases}/a`, made)
      const again = await scene.client.send('POST', scene.leases, { metadata: { name: 'a' } })
      scene.check([stale.code, stale.body.reason], [409, 'Conflict'])
      scene.check([again.code, again.body.reason], [409, 'AlreadyExists'])
    },
  },
  {
    name: 'what is invalid is 422 Invalid with its causes',
    async run(scene) {
      const { code, body } = await scene.client.send('POST', scene.leases, { metadata: { name: 'Not_A_Name' } })
      scene.check([code, body.kind, body.reason], [422, 'Status', 'Invalid'])
      scene.check(body.details?.causes?.[0]?.field, 'metadata.name')
    },
  },
  {
    name: 'a deletion checks its preconditions',
    async run(scene) {
      await scene.create(scene.leases, 'a')
      const uid = '00000000-0000-0000-0000-000000000000'
      const refused = await scene.client.send('DELETE', `${scene.leases}/a`, { preconditions: { uid } })
      scene.check([refused.code, refused.body.reason], [409, 'Conflict'])
      scene.check((await scene.client.send('DELETE', `${scene.leases}/a`)).code, 200)
    },
  },
  {
    name: 'a binding is one MODIFIED, with the node and the condition in it',
    async run(scene) {
      const nodes = await scene.client.send('GET', '/api/v1/nodes?limit=1')
      if (nodes.code === 403) scene.skip('not allowed to list nodes')
      const node = nodes.body.items?.[0]?.metadata?.name ?? 'conformance-node'
      await scene.create(scene.pods, 'a')
      const watch = await watchPods(scene)
      const target = { apiVersion: 'v1', kind: 'Node', name: node }
      const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'a' }, target }
      const { code } = await scene.client.send('POST', `${scene.pods}/a/binding`, binding)
      if (code === 403) scene.skip('not allowed to bind')
      const frame = await watch.next()
      watch.close()
      const { conditions = [] } = (frame?.object.status ?? {}) as { conditions?: { type: string; status: string }[] }
      const scheduled = conditions.find(({ type }) => type === 'PodScheduled')
      scene.check([code, frame?.type, frame?.object.spec?.nodeName, scheduled?.status], [201, 'MODIFIED', node, 'True'])
    },
  },
  {
    name: 'a pod on a node is marked for deletion first and has its grace',
    async run(scene) {
      await scene.create(scene.pods, 'a')
      const target = { apiVersion: 'v1', kind: 'Node', name: 'conformance-node' }
      const binding = { apiVersion: 'v1', kind: 'Binding', metadata: { name: 'a' }, target }
      const bound = await scene.client.send('POST', `${scene.pods}/a/binding`, binding)
      if (bound.code !== 201) scene.skip(`no binding: ${bound.body.message}`)
      const watch = await watchPods(scene)
      await scene.client.send('DELETE', `${scene.pods}/a?gracePeriodSeconds=20`)
      const marked = await watch.next()
      scene.check([marked?.type, marked?.object.metadata?.deletionGracePeriodSeconds], ['MODIFIED', 20])
      await scene.client.send('DELETE', `${scene.pods}/a`, { gracePeriodSeconds: 0 })
      let frame = await watch.next()
      while (frame?.type === 'MODIFIED') frame = await watch.next()
      watch.close()
      scene.check(frame?.type, 'DELETED')
    },
  },
  {
    name: 'what is not there is 404 NotFound, a path that is none is 404 without a Status',
    async run(scene) {
      const object = await scene.client.send('GET', `${scene.leases}/nope`)
      scene.check([object.code, object.body.kind, object.body.reason], [404, 'Status', 'NotFound'])
      scene.check(object.body.details?.name, 'nope')
      const path = await scene.client.send('GET', '/apis/nope.example.com/v1/things')
      scene.check([path.code, path.body.kind ?? 'text'], [404, 'text'])
    },
  },
  {
    name: 'a method that is not offered is 405 MethodNotAllowed',
    async run(scene) {
      const { code, body } = await scene.client.send('PUT', scene.leases, { metadata: { name: 'a' } })
      scene.check([code, body.reason], [405, 'MethodNotAllowed'])
    },
  },
  {
    name: 'a body that is no object is 400 BadRequest',
    async run(scene) {
      const { code, body } = await scene.client.send('POST', scene.leases, 'nothing')
      scene.check([code, body.reason], [400, 'BadRequest'])
    },
  },
  {
    name: 'a token that is none is 401 Unauthorized',
    async run(scene) {
      const { code, body } = await scene.client.send('GET', scene.leases, undefined, { authorization: 'Bearer nope' })
      scene.check([code, body.kind, body.reason], [401, 'Status', 'Unauthorized'])
    },
  },
  {
    name: 'reviews tell who one is and what one may do',
    async run(scene) {
      const spec = { resourceAttributes: { namespace: scene.namespace, verb: 'watch', resource: 'pods' } }
      const access = await scene.client.send('POST', '/apis/authorization.k8s.io/v1/selfsubjectaccessreviews', { spec })
      const self = await scene.client.send('POST', '/apis/authentication.k8s.io/v1/selfsubjectreviews', {})
      scene.check([access.code, (access.body.status as { allowed?: boolean }).allowed], [201, true])
      const { userInfo } = (self.body.status ?? {}) as { userInfo?: { username?: string } }
      scene.check([self.code, typeof userInfo?.username], [201, 'string'])
    },
  },
]
