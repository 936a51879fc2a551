import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Change } from '../../../shared/event.ts'
import type { KubeObject } from '../../../workers/kube/object.ts'
import { type BindingData, createBindingNormalizer } from '../../../workers/normalize/binding.ts'
import { splitData } from '../../../workers/normalize/normalizer.ts'
import { createObjectNormalizer } from '../../../workers/normalize/object.ts'

const moment = { now: 0, isFirstSync: false }

describe('the changes of any object', () => {
  const normalizer = createObjectNormalizer('deployment')
  const base = { metadata: { name: 'web', namespace: 'shop', uid: 'u', generation: 1 }, spec: { replicas: 1 } }
  const change = (next: object, old: object = base): Change[] =>
    normalizer.follow(normalizer.read(old as KubeObject), normalizer.read(next as KubeObject), moment).changes

  it.each<[string, object, object, Change[]]>([
    ['nothing', base, base, []],
    [
      'the spec, and with it the generation',
      base,
      { ...base, metadata: { ...base.metadata, generation: 2 }, spec: { replicas: 2 } },
      [
        { type: 'changed', paths: ['spec'] },
        { type: 'generation', from: 1, to: 2 },
      ],
    ],
    [
      'annotations and finalizers, without what they say',
      base,
      { ...base, metadata: { ...base.metadata, annotations: { a: 'b' }, finalizers: ['x'] } },
      [{ type: 'changed', paths: ['metadata.annotations', 'metadata.finalizers'] }],
    ],
    [
      'single keys of a ConfigMap',
      { ...base, data: { a: '1', b: '2', c: '3' } },
      { ...base, data: { a: '1', b: 'x', d: '4' } },
      [{ type: 'changed', paths: ['data.b', 'data.d', 'data.c'] }],
    ],
    [
      'an owner',
      base,
      { ...base, metadata: { ...base.metadata, ownerReferences: [{ kind: 'ReplicaSet', name: 'r', uid: 'o' }] } },
      [
        { type: 'changed', paths: ['metadata.ownerReferences'] },
        { type: 'owner', from: null, to: { kind: 'ReplicaSet', name: 'r', uid: 'o' } },
      ],
    ],
    [
      'the beginning of its end',
      base,
      { ...base, metadata: { ...base.metadata, deletionTimestamp: 't' } },
      [{ type: 'terminating', to: 't' }],
    ],
    [
      'conditions: new, turned, gone, and not those that only said something else',
      {
        ...base,
        status: { conditions: [on('Ready', 'False', 'Starting'), on('Old', 'True'), on('Same', 'True', 'A')] },
      },
      {
        ...base,
        status: { conditions: [on('Ready', 'True', 'Started'), on('New', 'False'), on('Same', 'True', 'B')] },
      },
      [
        { type: 'changed', paths: ['status'] },
        { type: 'condition', condition: 'Ready', from: 'False', to: 'True', reason: 'Started' },
        { type: 'condition', condition: 'New', to: 'False' },
        { type: 'condition', condition: 'Old', from: 'True', to: null },
      ],
    ],
  ])('%s', (_, old, next, expected) => {
    expect(change(next, old)).toEqual(expected)
  })

  it('are none for one that was not known, nor for one that an earlier relay knew without digests', () => {
    const read = normalizer.read(base as KubeObject)
    expect(normalizer.follow(undefined, read, moment).changes).toEqual([])
    const { kept: _, ...old } = read
    expect(normalizer.follow(old as typeof read, read, moment).changes).toEqual([])
  })

  it('are found without keeping the object, and its digests are told to nobody', () => {
    const secret = normalizer.read({ ...base, data: { password: 'hunter2' } } as KubeObject)
    const { data, kept } = splitData(secret)
    expect(JSON.stringify([data, kept])).not.toContain('hunter2')
    expect(kept).toHaveProperty(['data.password'])
    expect(data).not.toHaveProperty('kept')
  })

  it('are read from no matter what without failing', () => {
    const object = fc.record({ metadata: fc.object(), spec: fc.anything(), status: fc.anything(), data: fc.anything() })
    fc.assert(fc.property(object, object, (a, b) => void JSON.stringify(change(b, a))))
  })
})

function on(type: string, status: string, reason?: string) {
  return { type, status, message: 'words', ...(reason === undefined ? {} : { reason }) }
}

describe('the changes of a binding', () => {
  const normalizer = createBindingNormalizer('rolebinding')
  const binding = (subjects: object[], name = 'view') =>
    normalizer.read({ metadata: { uid: 'u' }, roleRef: { kind: 'ClusterRole', name }, subjects } as KubeObject)
  const [ann, bob] = [
    { kind: 'User', name: 'ann' },
    { kind: 'ServiceAccount', name: 'bob', namespace: 'shop' },
  ]
  const follow = (old: BindingData | undefined, next: BindingData) => normalizer.follow(old, next, moment).changes

  it('are whom it gives what', () => {
    expect(follow(undefined, binding([ann]))).toEqual([
      { type: 'roleRef', to: { kind: 'ClusterRole', name: 'view' } },
      { type: 'subjects', added: [ann], removed: [] },
    ])
    expect(follow(binding([ann]), binding([bob]))).toEqual([
      { type: 'subjects', added: [bob], removed: [ann] },
      { type: 'changed', paths: ['subjects'] },
    ])
    expect(follow(binding([ann]), binding([ann], 'edit'))).toMatchObject([
      { type: 'roleRef', from: { name: 'view' }, to: { name: 'edit' } },
      { type: 'changed', paths: ['roleRef'] },
    ])
  })

  it('are, of the recorded ones, what was done there', () => {
    const known = new Map<string, BindingData>()
    const seen: string[] = []
    for (const line of readFileSync('test/recordings/rolebindings-lifecycle.body', 'utf8').trim().split('\n')) {
      const { type, object } = JSON.parse(line) as { type: string; object: KubeObject }
      if (type === 'BOOKMARK') continue
      const next = normalizer.read(object)
      const old = known.get(next.uid)
      const outcome =
        type === 'DELETED' && old ? normalizer.end(old, next, moment) : normalizer.follow(old, next, moment)
      known.set(next.uid, next)
      const subjects = outcome.changes.find((one) => one.type === 'subjects')
      const count = (list: unknown) => (Array.isArray(list) ? list.length : 0)
      seen.push(`${type} ${next.name} ${next.roleRef.name} +${count(subjects?.added)} -${count(subjects?.removed)}`)
    }
    expect(seen).toMatchInlineSnapshot(`
      [
        "ADDED system:controller:bootstrap-signer system:controller:bootstrap-signer +1 -0",
        "ADDED system::extension-apiserver-authentication-reader extension-apiserver-authentication-reader +2 -0",
        "ADDED system::leader-locking-kube-controller-manager system::leader-locking-kube-controller-manager +3 -0",
        "ADDED system::leader-locking-kube-scheduler system::leader-locking-kube-scheduler +2 -0",
        "ADDED system:controller:bootstrap-signer system:controller:bootstrap-signer +1 -0",
        "ADDED system:controller:cloud-provider system:controller:cloud-provider +1 -0",
        "ADDED system:controller:token-cleaner system:controller:token-cleaner +1 -0",
        "ADDED viewers view +1 -0",
        "ADDED readers view +1 -0",
        "MODIFIED viewers view +1 -0",
        "DELETED viewers view +0 -0",
      ]
    `)
  })
})
