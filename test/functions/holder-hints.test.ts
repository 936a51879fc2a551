import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createApiKeyStore } from '../../shared/api-key.ts'
import { keys, type SampleWriter, type Serving, startServing } from './serving.ts'

const uuid = '0b6fd2b6-7ac2-4bba-a4a0-4b5b7a1f5a52'
const began = '2026-01-01T00:00:00.000Z'
let serving: Serving
let leases: SampleWriter
let pods: SampleWriter

beforeAll(async () => {
  serving = await startServing()
  leases = await serving.createWriter('leases')
  pods = await serving.createWriter('pods')
})

afterAll(() => serving.stop())

async function get(path: string) {
  return JSON.parse(await (await fetch(`${serving.url}${path}`)).text())
}

async function hold(name: string, holder: string, more: object = {}): Promise<void> {
  await leases.append({ name, holder, durationSeconds: 15, renewed: began, expired: false, ...more })
  await leases.operate([{ op: 'hold', key: `shop/${name}`, holder }])
}

describe('the hints about a holder', () => {
  it('are the pod and the node of a holder where they are known', async () => {
    await pods.append({ name: 'ledger-0', node: 'node-7' })
    await hold('ledger', `ledger-0_${uuid}`)
    await hold('ghost', `gone-1_${uuid}`)
    await hold('kubelet', 'node-9', {
      owner: { kind: 'Node', name: 'node-9', uid: 'n' },
    })
    expect(await get('/v1/leases/shop/ledger')).toMatchObject({
      holderPod: { namespace: 'shop', name: 'ledger-0', node: 'node-7' },
      holderNode: 'node-7',
    })
    const ghost = await get('/v1/leases/shop/ghost')
    expect([ghost.holderPod, ghost.holderNode]).toEqual([undefined, undefined])
    const listed = (await get('/v1/leases?name=kubelet,ledger')).items
    expect(listed.map(({ holderNode }: { holderNode: string }) => holderNode)).toEqual(['node-9', 'node-7'])
  })

  it('are a pod in another namespace where only one has the name', async () => {
    const holds = (name: string, pod: string) => hold(name, `${pod}_${uuid}`)
    await pods.append(
      { namespace: 'operators', name: 'operator-x', node: 'node-1' },
      { namespace: 'a', name: 'twin-0' },
      { namespace: 'b', name: 'twin-0' },
      { namespace: 'shop', name: 'near-0' },
      { namespace: 'b', name: 'near-0' },
    )
    await holds('operator', 'operator-x')
    await holds('twin', 'twin-0')
    await holds('near', 'near-0')
    // A name that no election made up may be anything.
    await hold('plain', 'operator-x')
    const listed = (await get('/v1/leases?name=near,operator,plain,twin')).items
    expect(listed.map(({ holderPod }: { holderPod?: object }) => holderPod)).toEqual([
      { namespace: 'shop', name: 'near-0' },
      { namespace: 'operators', name: 'operator-x', node: 'node-1' },
      undefined,
      undefined,
    ])
    const [held] = (await get(`/v1/holders/operator-x_${uuid}`)).holds
    expect(held).toMatchObject({ holderPod: { namespace: 'operators' }, holderNode: 'node-1' })
  })

  it('are the static pod of a node that is called after the lease, and the node of its own lease', async () => {
    await pods.append({ name: 'scheduler-cp-1', node: 'cp-1' }, { name: 'scheduler-cp-2', node: 'elsewhere' })
    await hold('scheduler', `cp-1_${uuid}`)
    expect(await get('/v1/leases/shop/scheduler')).toMatchObject({
      holderPod: { name: 'scheduler-cp-1' },
      holderNode: 'cp-1',
    })
    await hold('scheduler', `cp-2_${uuid}`)
    expect(await get('/v1/leases/shop/scheduler')).not.toHaveProperty('holderPod')
    const namespace = 'kube-node-lease'
    await leases.append({ namespace, name: 'node-3', holder: 'node-3', expired: false })
    await leases.append({ namespace, name: 'node-4', holder: 'someone', expired: false })
    const listed = (await get(`/v1/leases?namespace=${namespace}`)).items
    expect(listed.map(({ holderNode }: { holderNode?: string }) => holderNode)).toEqual(['node-3', undefined])
  })
})

it('tells whoever may see Leases and no Pods nothing about Pods', async () => {
  const guarded = await startServing({ auth: { mode: 'keys' } })
  const store = createApiKeyStore(guarded.client, keys)
  const createKey = async (resources: string[]) => {
    const grants = [{ namespaces: ['shop'], resources }]
    return (await store.create({ tenant: 't', grants, actions: ['read'], createdAt: began })).key
  }
  await (await guarded.createWriter('pods')).append({ name: 'ledger-0', node: 'node-7' })
  await (await guarded.createWriter('leases')).append({ name: 'ledger', holder: 'ledger-0', expired: false })
  const read = async (key: string) => {
    const answer = await fetch(`${guarded.url}/v1/leases/shop/ledger`, { headers: { authorization: `Bearer ${key}` } })
    return (await answer.json()) as { holderPod?: object }
  }
  expect((await read(await createKey(['leases', 'pods']))).holderPod).toMatchObject({ name: 'ledger-0' })
  const narrow = await read(await createKey(['leases']))
  expect(narrow).toMatchObject({ holder: 'ledger-0' })
  expect(JSON.stringify(narrow)).not.toMatch(/holderPod|node-7/)
  await guarded.stop()
})

it('tells of pods in other namespaces only what the caller may see there', async () => {
  const guarded = await startServing({ auth: { mode: 'keys' } })
  const store = createApiKeyStore(guarded.client, keys)
  const ask = async (...namespaces: string[]) => {
    const grants = [{ namespaces, resources: ['leases', 'pods'] }]
    const { key } = await store.create({ tenant: 't', grants, actions: ['read'], createdAt: began })
    const headers = { authorization: `Bearer ${key}` }
    const read = async (name: string) => {
      const answer = await fetch(`${guarded.url}/v1/leases/shop/${name}`, { headers })
      return ((await answer.json()) as { holderPod?: { namespace: string } }).holderPod?.namespace
    }
    return [await read('operator'), await read('twin'), await read('own')]
  }
  await (await guarded.createWriter('pods')).append(
    { namespace: 'operators', name: 'operator-x' },
    { namespace: 'a', name: 'twin-0' },
    { namespace: 'b', name: 'twin-0' },
    { namespace: 'shop', name: 'own-0' },
    { namespace: 'b', name: 'own-0' },
  )
  await (await guarded.createWriter('leases')).append(
    { name: 'operator', holder: `operator-x_${uuid}`, expired: false },
    { name: 'twin', holder: `twin-0_${uuid}`, expired: false },
    { name: 'own', holder: `own-0_${uuid}`, expired: false },
  )
  expect(await ask('*')).toEqual(['operators', undefined, 'shop'])
  expect(await ask('shop')).toEqual([undefined, undefined, 'shop'])
  expect(await ask('shop', 'operators', 'a')).toEqual(['operators', 'a', 'shop'])
  await guarded.stop()
})
