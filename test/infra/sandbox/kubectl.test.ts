import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createSandbox, type Sandbox } from '../../../infra/sandbox/sandbox.ts'

const command = 'kubectl'
const hasKubectl = spawnSync(command, ['version', '--client']).status === 0

interface Outcome {
  code: number
  out: string
  err: string
}

const pod = {
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: { name: 'mine', labels: { app: 'mine' } },
  spec: { containers: [{ name: 'main', image: 'busybox', command: ['sleep', 'infinity'] }] },
}

describe.runIf(hasKubectl)('kubectl against the sandbox', () => {
  let sandbox: Sandbox
  let folder: string
  let kubeconfig: string
  beforeAll(async () => {
    sandbox = await createSandbox({ rate: 0 })
    folder = mkdtempSync(join(tmpdir(), 'sandbox-kubectl-'))
    kubeconfig = join(folder, 'config')
    writeFileSync(kubeconfig, sandbox.kubeconfig())
  })
  afterAll(async () => {
    await sandbox.stop()
    rmSync(folder, { recursive: true })
  })

  function kubectl(...args: string[]): Promise<Outcome> {
    const all = ['--kubeconfig', kubeconfig, '--cache-dir', join(folder, 'cache'), ...args]
    return new Promise((resolve) => {
      execFile(command, all, { timeout: 25_000 }, (error, out, err) => {
        resolve({ code: error === null ? 0 : Number(error.code ?? 1), out, err })
      })
    })
  }

  function file(name: string, content: object): string {
    const path = join(folder, name)
    writeFileSync(path, JSON.stringify(content))
    return path
  }

  it('gets what is there in tables', async () => {
    const pods = await kubectl('get', 'pods', '-A', '-o', 'wide')
    expect(pods.out).toMatch(/^NAMESPACE +NAME +READY +STATUS +RESTARTS +AGE +IP +NODE/)
    expect(pods.out).toMatch(/shop +web-\w+-\w+ +2\/2 +Running +0 /)
    expect((await kubectl('get', 'leases', '-A')).out).toMatch(/kube-node-lease +node-1 +node-1/)
    expect((await kubectl('get', 'nodes')).out).toMatch(/node-5 +Ready +<none> +\S+ +v1\.36\.2/)
    expect((await kubectl('get', 'pods', '-A', '--chunk-size=3', '-o', 'name')).out.trim().split('\n')).toHaveLength(18)
    expect((await kubectl('version')).out).toContain('Server Version: v1.36.2')
    expect((await kubectl('api-resources')).out).toContain('leases')
  })

  it('creates, applies, patches, labels and deletes a pod that the cluster runs', async () => {
    const path = file('pod.json', pod)
    expect(await kubectl('apply', '-f', path)).toMatchObject({ code: 0, out: 'pod/mine created\n', err: '' })
    expect((await kubectl('apply', '-f', path)).out).toBe('pod/mine unchanged\n')
    const relabelled = { ...pod, metadata: { name: 'mine', labels: { app: 'yours' } } }
    expect((await kubectl('apply', '-f', file('pod2.json', relabelled))).out).toBe('pod/mine configured\n')
    expect((await kubectl('create', '-f', path)).err).toContain('pods "mine" already exists')
    expect((await kubectl('wait', '--for=condition=Ready', 'pod/mine', '--timeout=20s')).code).toBe(0)
    expect((await kubectl('label', 'pod', 'mine', 'a=b')).code).toBe(0)
    expect((await kubectl('annotate', 'pod', 'mine', 'c=d')).code).toBe(0)
    expect(
      (await kubectl('patch', 'pod', 'mine', '--type=json', '-p', '[{"op":"remove","path":"/metadata/labels/a"}]'))
        .code,
    ).toBe(0)
    const status = { status: { conditions: [{ type: 'Custom', status: 'True' }] } }
    expect((await kubectl('patch', 'pod', 'mine', '--subresource=status', '-p', JSON.stringify(status))).code).toBe(0)
    const seen = JSON.parse((await kubectl('get', 'pod', 'mine', '-o', 'json')).out) as {
      metadata: { labels: object }
      status: { conditions: { type: string }[] }
    }
    expect(seen.metadata.labels).toEqual({ app: 'yours' })
    expect(seen.status.conditions.map((condition) => condition.type)).toContain('Custom')
    expect((await kubectl('describe', 'pod', 'mine')).out).toMatch(/Node: +node-\d/)
    expect((await kubectl('apply', '--server-side', '--force-conflicts', '-f', path)).out).toBe(
      'pod/mine serverside-applied\n',
    )
    expect(await kubectl('delete', 'pod', 'mine')).toMatchObject({ code: 0 })
    expect((await kubectl('get', 'pod', 'mine')).err).toBe('Error from server (NotFound): pods "mine" not found\n')
  })

  it('deletes by force at once', async () => {
    await kubectl('run', 'quick', '--image=nginx')
    const reply = await kubectl('delete', 'pod', 'quick', '--force', '--grace-period=0')
    expect([reply.code, reply.out]).toEqual([0, 'pod "quick" force deleted\n'])
  })

  it('complains about fields that do not exist', async () => {
    const path = file('typo.json', { ...pod, spec: { ...pod.spec, contaners: [] } })
    expect((await kubectl('create', '-f', path)).err).toContain('strict decoding error: unknown field "spec.contaners"')
  })

  it('manages access with its typed commands', async () => {
    expect((await kubectl('auth', 'can-i', 'list', 'pods')).out).toBe('yes\n')
    expect((await kubectl('auth', 'can-i', 'list', 'pods', '--as', 'nobody')).out).toBe('no\n')
    expect((await kubectl('create', 'rolebinding', 'readers', '--clusterrole=view', '--user=nobody')).code).toBe(0)
    expect((await kubectl('auth', 'can-i', 'list', 'pods', '--as', 'nobody')).out).toBe('yes\n')
    const refused = await kubectl(
      'patch',
      'rolebinding',
      'readers',
      '--type=merge',
      '-p',
      '{"roleRef":{"name":"edit"}}',
    )
    expect(refused.err).toContain(
      'The RoleBinding "readers" is invalid: roleRef: Invalid value: {"APIGroup":"rbac.authorization.k8s.io","Kind":"ClusterRole","Name":"edit"}: cannot change roleRef',
    )
    expect((await kubectl('create', 'token', 'default')).out).toMatch(/^ey[\w-]+\.[\w-]+\.[\w-]+$/m)
    expect((await kubectl('auth', 'whoami')).out).toContain('system:admin')
  })

  it('makes and unmakes namespaces', async () => {
    expect((await kubectl('create', 'namespace', 'temporary')).code).toBe(0)
    expect((await kubectl('create', 'configmap', 'c', '--from-literal=a=b', '-n', 'temporary')).code).toBe(0)
    expect((await kubectl('delete', 'namespace', 'temporary')).code).toBe(0)
    expect(sandbox.store.list('configmaps', 'temporary')).toEqual([])
  })

  it('watches', async () => {
    const watching = kubectl('get', 'pods', '-l', 'app=watched', '-w', '--request-timeout=3s')
    await kubectl('run', 'watched', '--image=nginx', '--labels=app=watched')
    const { out } = await watching
    expect(out).toMatch(/watched +0\/1 +Pending/)
    expect(out).toMatch(/watched +1\/1 +Running/)
  })
})
