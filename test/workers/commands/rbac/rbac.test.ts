import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KubeConfig, loadAllYaml } from '@kubernetes/client-node'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../../../infra/sandbox/sandbox.ts'
import { parseConfigured, parseResources } from '../../../../shared/resource.ts'
import { applyManifest } from '../../../../workers/commands/rbac/apply.ts'
import { checkNeeds } from '../../../../workers/commands/rbac/check.ts'
import { runRbac } from '../../../../workers/commands/rbac/command.ts'
import { buildManifests, listNeeds, type Manifest, type Subject } from '../../../../workers/commands/rbac/manifest.ts'
import { explainRefusal } from '../../../../workers/commands/rbac/refusal.ts'
import { createKubeClient } from '../../../../workers/kube/client.ts'
import {
  type Script,
  type ScriptedServer,
  sendJson,
  sendStatus,
  startScriptedServer,
} from '../../../support/scripted-server.ts'

const account: Subject = { kind: 'ServiceAccount', name: 'relay', namespace: 'watching' }
const manifestsOf = (resources: string, withIdentity = false, withReviews = false) =>
  buildManifests(listNeeds(parseResources(resources), { withIdentity, withReviews }), 'relay', account)
const brief = ({ kind, metadata, rules }: Manifest) =>
  [kind, metadata.namespace, ...(rules ?? []).map((rule) => `${rule.apiGroups}/${rule.resources} ${rule.verbs}`)]
    .filter((part) => part !== undefined)
    .join(' ')

describe('the least rights', () => {
  it('are one ClusterRole for what is watched everywhere', () => {
    expect(manifestsOf('pods,leases,nodes').map(brief)).toEqual([
      'ClusterRole /pods,nodes get,list,watch coordination.k8s.io/leases get,list,watch',
      'ClusterRoleBinding',
    ])
  })

  it('are a Role in each namespace that is named, and nothing elsewhere', () => {
    expect(manifestsOf('pods?namespace=shop pods?namespace=blog leases?namespace=shop').map(brief)).toEqual([
      'Role shop /pods get,list,watch coordination.k8s.io/leases get,list,watch',
      'RoleBinding shop',
      'Role blog /pods get,list,watch',
      'RoleBinding blog',
    ])
  })

  it('tell one cluster from another by reading one namespace, unless all are watched or it is not wanted', () => {
    const [, , role] = manifestsOf('pods', true)
    expect(role).toMatchObject({
      kind: 'Role',
      metadata: { namespace: 'kube-system' },
      rules: [{ resources: ['namespaces'], resourceNames: ['kube-system'], verbs: ['get'] }],
    })
    expect(manifestsOf('namespaces', true).map(brief)).toEqual([
      'ClusterRole /namespaces get,list,watch',
      'ClusterRoleBinding',
    ])
  })

  it('are, to know callers by their tokens, also to ask whose a token is and what it may do', () => {
    expect(manifestsOf('pods?namespace=shop', false, true).map(brief)).toEqual([
      'Role shop /pods get,list,watch',
      'RoleBinding shop',
      'ClusterRole authentication.k8s.io/tokenreviews create authorization.k8s.io/subjectaccessreviews create',
      'ClusterRoleBinding',
    ])
  })

  it('never are wildcards or secrets', () => {
    expect(JSON.stringify(manifestsOf('pods,leases,nodes,deployments,rolebindings', true, true))).not.toMatch(
      /\*|secrets/,
    )
  })
})

describe('a refusal says what to do', () => {
  const [role, binding] = manifestsOf('pods?namespace=shop') as [Manifest, Manifest]

  it('where the role of a binding cannot be changed, in the words of a real server', async () => {
    const message = await readFile('test/recordings/rolebinding-change-roleref.txt', 'utf8')
    expect(explainRefusal(binding, 422, { message })).toBe(
      'RoleBinding shop/relay: it binds another role, which cannot be changed; delete it first: kubectl delete rolebinding relay --namespace shop',
    )
  })

  it.each<[number, string, RegExp]>([
    [401, 'Unauthorized', /does not know these credentials; log in again/],
    [
      403,
      'roles is forbidden: User "x" cannot create',
      /not allowed \(roles is forbidden.*as somebody who may write roles/,
    ],
    [403, 'attempting to grant RBAC permissions not currently held: {…}', /run this as a cluster administrator/],
    [404, 'namespaces "shop" not found', /there is no namespace shop; create it first: kubectl create namespace shop/],
    [409, 'the object has been modified', /changed it at the same moment; run this again/],
    [422, 'Role "x" is\ninvalid: rules', /not valid: Role "x" is invalid: rules$/],
    [500, 'etcd is\naway', /answered 500: etcd is away$/],
  ])('%i %s', (status, message, expected) => {
    const line = explainRefusal(role, status, { message })
    expect(line).toMatch(expected)
    expect(line).not.toContain('\n')
  })
})

describe('in a cluster', () => {
  let sandbox: Sandbox
  let folder: string
  const put = (namespace: string) =>
    sandbox.store.put('namespaces', { metadata: { name: namespace } } as Parameters<typeof sandbox.store.put>[1])

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'relay-rbac-'))
    sandbox = await createSandbox({ world: false, tokens: { dev: { username: 'dev' }, root: { username: 'root' } } })
    await writeFile(join(folder, 'config'), sandbox.kubeconfig())
    put('shop')
  })

  afterEach(async () => {
    await sandbox.stop()
    await rm(folder, { recursive: true })
  })

  async function run(
    action: 'print' | 'apply' | 'check',
    resources: string,
    more: { context?: string; dryRun?: boolean; serviceAccount?: string } = {},
  ) {
    const texts = { out: '', err: '' }
    const code = await runRbac({
      action,
      resources: parseConfigured(resources),
      serviceAccount: more.serviceAccount ?? 'relay',
      namespace: 'watching',
      dryRun: more.dryRun ?? false,
      withIdentity: false,
      withReviews: false,
      cluster: { kubeconfig: join(folder, 'config'), context: more.context, inCluster: false },
      print(text) {
        texts.out += text
      },
      warn(text) {
        texts.err += text
      },
    })
    return { code, ...texts }
  }

  it('what is printed is what is applied', async () => {
    const { out } = await run('print', 'pods?namespace=shop')
    expect(loadAllYaml(out)).toEqual(manifestsOf('pods?namespace=shop'))
  })

  it('are created, found unchanged, and replaced, with the fields known as ours', async () => {
    expect(await run('apply', 'pods?namespace=shop')).toMatchObject({
      code: 0,
      out: 'Role shop/relay: created\nRoleBinding shop/relay: created\n',
    })
    expect((await run('apply', 'pods?namespace=shop')).out).toBe(
      'Role shop/relay: unchanged\nRoleBinding shop/relay: unchanged\n',
    )
    expect(sandbox.store.get('roles', 'shop', 'relay')?.metadata.managedFields).toMatchObject([
      { manager: 'kube-watch-relay' },
    ])
    const role = sandbox.store.get('roles', 'shop', 'relay') as Parameters<typeof sandbox.store.put>[1]
    sandbox.store.put('roles', { ...role, metadata: { ...role.metadata, labels: { ours: 'no' } } })
    expect((await run('apply', 'pods?namespace=shop leases?namespace=shop')).out).toMatch(
      /^Role shop\/relay: replaced\n/,
    )
    expect(sandbox.store.get('roles', 'shop', 'relay')?.metadata.labels).toMatchObject({ ours: 'no' })
  })

  it('a dry run is the server’s own: it refuses what it would refuse, and changes nothing', async () => {
    expect(await run('apply', 'pods?namespace=shop', { dryRun: true })).toMatchObject({
      code: 0,
      out: 'Role shop/relay: created (dry run)\nRoleBinding shop/relay: created (dry run)\n',
    })
    expect(sandbox.store.get('roles', 'shop', 'relay')).toBeUndefined()
    expect(await run('apply', 'pods?namespace=nope', { dryRun: true })).toMatchObject({
      code: 1,
      err: expect.stringContaining('there is no namespace nope'),
    })
  })

  it('the refusal to change a roleRef comes as one line, and the other manifests are applied', async () => {
    sandbox.store.put('rolebindings', {
      metadata: { name: 'relay', namespace: 'shop' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'view' },
      subjects: [],
    } as Parameters<typeof sandbox.store.put>[1])
    expect(await run('apply', 'pods?namespace=shop')).toEqual({
      code: 1,
      out: 'Role shop/relay: created\n',
      err: 'RoleBinding shop/relay: it binds another role, which cannot be changed; delete it first: kubectl delete rolebinding relay --namespace shop\n',
    })
  })

  it('a check tells what is missing and what would fix it: applied, it finds nothing more', async () => {
    const before = await run('check', 'pods?namespace=shop leases?namespace=shop', { context: 'dev' })
    expect(before.code).toBe(1)
    expect(before.out).toContain('missing  watch leases.coordination.k8s.io in namespace shop\n')
    const fix = loadAllYaml(before.out.slice(before.out.indexOf('#'))) as Manifest[]
    expect(fix[1]?.subjects).toEqual([{ kind: 'User', name: 'dev', apiGroup: 'rbac.authorization.k8s.io' }])
    const config = new KubeConfig()
    config.loadFromClusterAndUser({ name: 'c', server: sandbox.url, skipTLSVerify: true }, { name: 'u' })
    const admin = createKubeClient(config, 'test')
    for (const manifest of fix) expect(await applyManifest(admin, manifest, false)).toMatchObject({ ok: true })
    await admin.close()
    expect(await run('check', 'pods?namespace=shop leases?namespace=shop', { context: 'dev' })).toMatchObject({
      code: 0,
    })
    // Who lacks a part gets the whole role: it replaces the one that allows the rest.
    const more = await run('check', 'pods?namespace=shop v1/configmaps?namespace=shop', { context: 'dev' })
    expect(more.out).toContain('allowed  get pods in namespace shop\n')
    expect((loadAllYaml(more.out.slice(more.out.indexOf('#'))) as Manifest[]).map(brief)).toEqual([
      'Role shop /pods,configmaps get,list,watch',
      'RoleBinding shop',
    ])
  })

  it('a plural that only the server knows is looked up, and refused where it has none', async () => {
    const { out } = await run('print', 'serviceaccounts?namespace=shop')
    expect((loadAllYaml(out) as Manifest[]).map(brief)).toEqual([
      'Role shop /serviceaccounts get,list,watch',
      'RoleBinding shop',
    ])
    expect(await run('check', 'sa?namespace=shop')).toMatchObject({
      code: 0,
      out: expect.stringContaining('allowed  list serviceaccounts in namespace shop\n'),
    })
    await expect(run('check', 'serviceacounts')).rejects.toThrow(
      'RELAY_RESOURCES: the server has no serviceacounts. Did you mean serviceaccounts?',
    )
    await expect(run('apply', 'nodes?namespace=shop sa?namespace=shop', { serviceAccount: 'A b' })).rejects.toThrow(
      '--service-account: "A b" is no name',
    )
  })

  it('refusals and credentials that nobody knows have their own exit codes', async () => {
    expect(await run('apply', 'pods?namespace=shop', { context: 'dev' })).toMatchObject({
      code: 1,
      err: expect.stringMatching(/^Role shop\/relay: not allowed .*\nRoleBinding shop\/relay: not allowed .*\n$/),
    })
    const text = sandbox.kubeconfig().replace('"token": "dev"', '"token": "unknown"')
    await writeFile(join(folder, 'config'), text)
    expect(await run('check', 'pods', { context: 'dev' })).toMatchObject({
      code: 2,
      err: expect.stringContaining('log in again'),
    })
    await sandbox.stop()
    expect(await run('check', 'pods')).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^relay: http.* cannot be asked: /),
    })
    sandbox = await createSandbox({ world: false })
  })
})

describe('against recorded answers', () => {
  let server: ScriptedServer
  const connect = async (script: Script) => {
    server = await startScriptedServer(script)
    const config = new KubeConfig()
    config.loadFromClusterAndUser({ name: 'c', server: server.url, skipTLSVerify: true }, { name: 'u' })
    return createKubeClient(config, 'test')
  }
  const read = async (name: string) => JSON.parse(await readFile(`test/recordings/${name}.body`, 'utf8'))

  afterEach(() => server.stop())

  it('a review of a real server is understood', async () => {
    const review = await read('selfsubjectaccessreview')
    const client = await connect((_, response) => sendJson(response, 201, review))
    const [need] = listNeeds(parseResources('pods?namespace=shop'), { withIdentity: false, withReviews: false })
    expect(await checkNeeds(client, need === undefined ? [] : [need])).toEqual({ subject: undefined, missing: [] })
    await client.close()
  })

  it('a dry run of a real server is understood', async () => {
    const recorded = await read('rolebinding-put-dryrun')
    const client = await connect((_, response) => sendJson(response, 200, recorded))
    const [, binding] = manifestsOf('pods?namespace=shop') as [Manifest, Manifest]
    expect(await applyManifest(client, binding, true)).toEqual({
      ok: true,
      line: 'RoleBinding shop/relay: unchanged (dry run)',
    })
    expect(server.asked.at(-1)?.query.get('dryRun')).toBe('All')
    expect(server.asked.at(-1)?.query.get('fieldManager')).toBe('kube-watch-relay')
    await client.close()
  })

  it('somebody else’s change in between is a conflict, and nothing is overwritten', async () => {
    const recorded = await read('rolebinding-put-dryrun')
    let asked = 0
    const client = await connect((_, response) =>
      asked++ === 0 ? sendJson(response, 200, recorded) : sendStatus(response, 409, 'Conflict'),
    )
    const [, binding] = manifestsOf('pods?namespace=shop') as [Manifest, Manifest]
    expect(await applyManifest(client, binding, false)).toMatchObject({
      ok: false,
      line: expect.stringContaining('run this again'),
    })
    await client.close()
  })
})
