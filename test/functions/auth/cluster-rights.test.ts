import { KubeConfig } from '@kubernetes/client-node'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createKubernetesAuthenticator, type Reviewer } from '../../../functions/auth/kubernetes.ts'
import { createKubeReviewer } from '../../../infra/node/kube-reviewer.ts'
import { createSandbox, type Sandbox } from '../../../infra/sandbox/sandbox.ts'
import { parseConfigured, parseResources } from '../../../shared/resource.ts'
import { type SampleWriter, type Serving, startServing, until } from '../serving.ts'

const group = 'rbac.authorization.k8s.io'

describe('a stream ends within 5 s', () => {
  let sandbox: Sandbox
  let serving: Serving
  let watcher: SampleWriter
  beforeAll(async () => {
    const tokens = { ann: { username: 'ann', groups: ['ops'] } }
    sandbox = await createSandbox({ tokens, world: false })
    const config = new KubeConfig()
    config.loadFromClusterAndUser({ name: 'sandbox', server: sandbox.url, skipTLSVerify: true }, { name: 'relay' })
    // Nothing is asked again by and by: what ends a stream is what the watcher tells.
    const limits = { review: 3_600_000 }
    serving = await startServing({ auth: { mode: 'kubernetes', reviewer: createKubeReviewer(config) }, limits })
    watcher = await serving.createWriter('pods')
  })
  afterAll(async () => {
    await serving.stop()
    await sandbox.stop()
  })

  type Verb = 'list' | 'watch' | 'get'
  const rule = (...verbs: Verb[]) => [{ apiGroups: ['', 'coordination.k8s.io'], resources: ['pods', 'leases'], verbs }]
  const role = (namespace: string, ...verbs: Verb[]) =>
    sandbox.store.put('roles', { metadata: { name: 'see', namespace }, rules: rule(...verbs) })
  const clusterRole = (...verbs: Verb[]) =>
    sandbox.store.put('clusterroles', { metadata: { name: 'see' }, rules: rule(...verbs) })
  const bind = (namespace: string, kind: 'Role' | 'ClusterRole', subjects: object[]) =>
    sandbox.store.put('rolebindings', {
      metadata: { name: 'of-ann', namespace },
      subjects,
      roleRef: { apiGroup: group, kind, name: 'see' },
    })
  const bindEverywhere = () =>
    sandbox.store.put('clusterrolebindings', {
      metadata: { name: 'of-ann' },
      subjects: [{ kind: 'User', name: 'ann' }],
      roleRef: { apiGroup: group, kind: 'ClusterRole', name: 'see' },
    })
  const ann = [{ kind: 'User', name: 'ann' }]
  let version = 0
  const tell = (resource: string) => {
    const event = {
      specversion: '1.0',
      id: `test/u/${resource}-${++version}`,
      source: `/clusters/test/apis/${group}/v1/${resource}`,
      type: `k8s.${resource.slice(0, -1)}.modified`,
      subject: 'see',
      time: new Date().toISOString(),
      data: { namespace: '', name: 'see', changes: [] },
    }
    return watcher.operate([{ op: 'event', json: JSON.stringify(event) }])
  }

  test.each<[string, string, () => void, () => void, string]>([
    [
      'when a RoleBinding is removed',
      'namespace=shop',
      () => [role('shop', 'list', 'watch'), bind('shop', 'Role', ann)],
      () => sandbox.store.remove('rolebindings', 'shop', 'of-ann'),
      'rolebindings',
    ],
    [
      'when a RoleBinding no longer names the group of its reader',
      'namespace=shop',
      () => [role('shop', 'list', 'watch'), bind('shop', 'Role', [{ kind: 'Group', name: 'ops' }])],
      () => bind('shop', 'Role', [{ kind: 'Group', name: 'dev' }]),
      'rolebindings',
    ],
    [
      'when a Role no longer lets its reader watch',
      'namespace=shop',
      () => [role('shop', 'list', 'watch'), bind('shop', 'Role', ann)],
      () => role('shop', 'list', 'get'),
      'roles',
    ],
    [
      'when a ClusterRole that a RoleBinding names no longer lets its reader list',
      'namespace=shop',
      () => [clusterRole('list', 'watch'), bind('shop', 'ClusterRole', ann)],
      () => clusterRole('watch'),
      'clusterroles',
    ],
    [
      'when a ClusterRoleBinding is removed, though one of its two namespaces may still be seen',
      'namespace=shop,bank',
      () => [clusterRole('list', 'watch'), bindEverywhere(), bind('shop', 'ClusterRole', ann)],
      () => sandbox.store.remove('clusterrolebindings', '', 'of-ann'),
      'clusterrolebindings',
    ],
    [
      'when a ClusterRoleBinding is removed and it told all namespaces but one',
      'namespace=!kube-system',
      () => [clusterRole('list', 'watch'), bindEverywhere()],
      () => sandbox.store.remove('clusterrolebindings', '', 'of-ann'),
      'clusterrolebindings',
    ],
    [
      'when a ClusterRoleBinding is removed and it told everything',
      '',
      () => [clusterRole('list', 'watch'), bindEverywhere()],
      () => sandbox.store.remove('clusterrolebindings', '', 'of-ann'),
      'clusterrolebindings',
    ],
  ])('%s', async (_, query, give, take, resource) => {
    for (const kind of ['roles', 'rolebindings'])
      sandbox.store.remove(kind, 'shop', kind === 'roles' ? 'see' : 'of-ann')
    give()
    await tell('roles')
    const headers = { authorization: 'Bearer ann', accept: 'text/event-stream' }
    let stream: Response | undefined
    await until(async () => {
      stream = await fetch(`${serving.url}/v1/events?${query}`, { headers })
      return stream.ok
    })
    const ended = stream?.text()
    await until(async () => (await serving.countStreams()) === 1)
    const begin = performance.now()
    take()
    await tell(resource)
    expect(await ended).toContain('event: ready')
    expect(performance.now() - begin).toBeLessThan(5_000)
    await until(async () => (await fetch(`${serving.url}/v1/events?${query}`, { headers })).status === 403)
  })
})

describe('what a user of the cluster may see', () => {
  const wish = { namespace: ['shop'] }
  const everybody: Pick<Reviewer, 'identify'> = { identify: async (username) => ({ username }) }
  const allow = (isAllowed: (group: string, resource: string) => boolean): Reviewer => ({
    ...everybody,
    isAllowed: async (_, __, ofGroup, resource) => isAllowed(ofGroup, resource),
  })
  const see = async (reviewer: Reviewer, resources: string, more: object = wish) => {
    const authenticator = createKubernetesAuthenticator(reviewer, parseConfigured(resources), () => new Date())
    return authenticator.grant(await authenticator.identify('ann'), more)
  }

  test('of a resource that two API groups have is nothing, unless it is both', async () => {
    const both = 'v1/services serving.knative.dev/v1/services'
    expect(
      await see(
        allow((of) => of === 'serving.knative.dev'),
        both,
      ),
    ).toEqual([])
    expect(
      await see(
        allow((of) => of === ''),
        both,
      ),
    ).toEqual([])
    expect(
      await see(
        allow(() => true),
        both,
      ),
    ).toEqual([{ resources: ['*'], namespaces: ['*'] }])
  })

  test('of a resource whose group nobody knows yet is for who may see it in any', async () => {
    expect(
      await see(
        allow((of) => of === ''),
        'pods,widgets',
      ),
    ).toEqual([{ resources: ['pods'], namespaces: ['*'] }])
    expect(
      await see(
        allow((of) => of === '' || of === '*'),
        'pods,widgets',
      ),
    ).toEqual([{ resources: ['*'], namespaces: ['*'] }])
  })

  test('follows their groups, of which the token is asked again', async () => {
    let now = 0
    let groups = ['ops']
    const reviewer: Reviewer = {
      identify: async (username) => ({ username, groups }),
      isAllowed: async ({ groups: of = [] }) => of.includes('ops'),
    }
    const authenticator = createKubernetesAuthenticator(reviewer, parseResources('pods'), () => new Date(now))
    const caller = await authenticator.identify('ann')
    expect(await authenticator.grant(caller, wish)).toHaveLength(1)
    groups = ['dev']
    now += 31_000
    expect(await authenticator.grant(caller, wish)).toEqual([])
  })

  test('is asked again of tokens that were good, however many made up ones are asked about', async () => {
    const answers: (() => void)[] = []
    let isSlow = false
    const reviewer: Reviewer = {
      async identify(username) {
        if (isSlow) await new Promise<void>((resolve) => answers.push(resolve))
        return { username }
      },
      isAllowed: async () => true,
    }
    const authenticator = createKubernetesAuthenticator(reviewer, parseResources('pods'), () => new Date())
    const caller = await authenticator.identify('ann')
    authenticator.forget()
    isSlow = true
    const storm = Array.from({ length: 64 }, (_, i) => authenticator.identify(`made-up-${i}`))
    await until(() => answers.length === 64)
    await expect(authenticator.identify('another')).rejects.toMatchObject({ code: 'unavailable' })
    const again = authenticator.isValid(caller)
    await until(() => answers.length === 65)
    for (const answer of answers) answer()
    expect(await again).toBe(true)
    await Promise.all(storm)
  })

  test('does not depend on what a token that is no JWT looks like', async () => {
    const reviewer = allow(() => true)
    const authenticator = createKubernetesAuthenticator(reviewer, parseResources('pods'), () => new Date())
    for (const payload of ['null', '5', '"exp"', '[]', '{"exp":"soon"}', '{']) {
      const token = `a.${Buffer.from(payload).toString('base64url')}.c`
      expect(await authenticator.identify(token)).not.toHaveProperty('expiresAt')
    }
  })
})
