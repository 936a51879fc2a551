import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseResources } from '../../../shared/resource.ts'
import type { KubeObject } from '../../../workers/kube/object.ts'
import { chooseNormalizer } from '../../../workers/normalize/choose.ts'
import { splitData } from '../../../workers/normalize/normalizer.ts'
import { maskJsonText, redactObject } from '../../../workers/normalize/redact.ts'
import { findCanaries, oddPlaces, plantPod } from '../../security/secrets.ts'

describe('a whole object', () => {
  const pod = plantPod('web', 'Running') as unknown as KubeObject
  const show = (kinds: Parameters<typeof redactObject>[1] | [] = []) =>
    JSON.stringify(redactObject(pod, new Set(kinds)))

  it('keeps its shape and its names, and no value that people hide', () => {
    expect(findCanaries(show().replace('canary-pullsecret', ''))).toEqual([])
    expect(redactObject(pod, new Set())).toMatchObject({
      kind: 'Pod',
      metadata: { name: 'web', annotations: { 'example.com/token': '[redacted]' } },
      spec: { containers: [{ image: 'nginx', command: ['[redacted]', '[redacted]', '[redacted]'] }] },
      status: { containerStatuses: [{ restartCount: 1, lastState: { terminated: { exitCode: 1, reason: 'Error' } } }] },
    })
  })

  it('never shows who manages its fields, nor what was applied, whatever is revealed', () => {
    const all = new Set([
      'annotations',
      'commands',
      'credentials',
      'data',
      'env',
      'headers',
      'messages',
      'volumes',
    ] as const)
    const text = JSON.stringify(redactObject(pod, all))
    expect(text).not.toMatch(/managedFields|last-applied|canary-managed|canary-lastapplied/)
    expect(findCanaries(text)).toHaveLength(26)
  })

  it.each<[Parameters<typeof redactObject>[1], string[]]>([
    [new Set(['annotations']), ['canary-annotation']],
    [new Set(['volumes']), ['canary-flexvolume', 'canary-volume']],
    [new Set(['messages']), ['canary-condition', 'canary-podmessage', 'canary-terminated', 'canary-waiting']],
  ])('shows what is revealed by name, and nothing else: %o', (kinds, expected) => {
    const text = JSON.stringify(redactObject(pod, kinds)).replace('canary-pullsecret', '')
    expect(findCanaries(text)).toEqual(expected)
  })

  it('hides the same in templates, in other shapes, and under names that are special to JavaScript', () => {
    const odd = JSON.parse(
      '{"spec":{"template":{"metadata":{"annotations":{"a":"canary-a"}},"spec":{"containers":[{"env":{"X":"canary-b"}}]}}},' +
        '"data":{"__proto__":{"x":"canary-c"}},"__proto__":{"env":[{"value":"canary-d"}]}}',
    ) as KubeObject
    expect(findCanaries(JSON.stringify(redactObject(odd, new Set())))).toEqual([])
  })

  it.each(Object.entries(oddPlaces))('hides a secret in %s, in whatever resource and however deep', (_, fragment) => {
    const around = fc.constantFrom('spec', 'status', 'template', 'values', 'global', 'steps', undefined)
    fc.assert(
      fc.property(fc.array(around, { maxLength: 8 }), (path) => {
        // Without a name, it is in a list.
        const tree = path.reduce<object>(
          (inner, name) => (name === undefined ? [{ plain: 'text' }, inner] : { [name]: inner, other: 1 }),
          fragment,
        )
        const object = { kind: 'Odd', metadata: { name: 'odd' }, tree } as KubeObject
        expect(findCanaries(JSON.stringify(object))).not.toEqual([])
        expect(findCanaries(JSON.stringify(redactObject(object, new Set())))).toEqual([])
      }),
    )
  })

  it('shows what only tells of a secret: where it is, and how it is used', () => {
    const spec = {
      image: 'registry.example/token-service:1.2.3',
      home: 'https://example.com/@scope/a?page=2',
      imagePullSecrets: [{ name: 'registry' }],
      volumes: [{ name: 'v', secret: { secretName: 'tls', items: [{ key: 'tls.key', path: 'key.pem' }] } }],
      envFrom: [{ prefix: 'A_', secretRef: { name: 'settings' } }],
      env: [{ name: 'PASSWORD', valueFrom: { secretKeyRef: { name: 'db', key: 'password' } } }],
      automountServiceAccountToken: true,
      tokenExpirationSeconds: 600,
      passwordSecretRef: { name: 'db', key: 'password' },
      tokenUrl: 'https://login.example/token',
      selector: { app: 'web' },
      labels: { 'example.com/token': 'a label is no secret' },
      environment: 'production',
      parameters: [{ name: 'replicas', value: '3' }],
      replicas: 3,
      certificate: 'public',
      caBundle: btoa('-----BEGIN CERTIFICATE-----\n'),
      wwwCommon: 'a plain sentence about --users and tokens',
    }
    expect(redactObject({ spec }, new Set())).toEqual({ spec })
  })

  it('shows credentials where they are revealed by name, and in what is revealed as something else', () => {
    const object = { spec: { password: 'a', url: 'redis://:b@host' }, data: { token: 'c' } }
    expect(redactObject(object, new Set(['credentials']))).toEqual({ ...object, data: { token: '[redacted]' } })
    expect(redactObject(object, new Set(['data']))).toEqual({
      spec: { password: '[redacted]', url: 'redis://[redacted]@host' },
      data: { token: 'c' },
    })
  })

  it('shows nothing below a depth that no API has', () => {
    let deep: unknown = 'canary-deep'
    for (let i = 0; i < 3000; i++) deep = i % 2 === 0 ? { x: deep } : [deep]
    for (const name of ['spec', 'env', 'data', 'password']) {
      expect(findCanaries(JSON.stringify(redactObject({ [name]: deep }, new Set())))).toEqual([])
    }
  })

  it('reads long texts that were made to be slow to read', () => {
    const pieces = [
      'a-',
      'a:',
      'a@',
      'a://',
      'token',
      'token ',
      'token:"',
      'token:\n a',
      '-eyJaaaaaaaa',
      'eyJaaaaaaaa.',
    ]
    for (const piece of [...pieces, 'Bearer ', '-----BEGIN ', "password='", 'whsec_', '\\']) {
      const text = ` password="${piece.repeat(60_000 / piece.length)}`
      expect(redactObject({ spec: text }, new Set())).toEqual({ spec: expect.any(String) })
    }
  })

  it('is read from anything without failing', () => {
    fc.assert(
      fc.property(
        fc.object({
          key: fc.constantFrom('env', 'args', 'annotations', 'message', 'data', 'x', 'token', 'name', 'value'),
        }),
        (object) => {
          JSON.stringify(redactObject(object as KubeObject, new Set()))
        },
      ),
    )
  })

  it('goes into the event and not into what is kept; one that is too large is named by its size', () => {
    const [watched] = parseResources('pods?object=full&reveal=annotations')
    if (watched === undefined) throw new Error('nothing to watch')
    const normalizer = chooseNormalizer(watched)
    const { data, attached } = splitData(
      normalizer.follow(undefined, normalizer.read(pod), { now: 0, isFirstSync: false }).data,
    )
    expect(JSON.stringify(attached)).toContain('canary-annotation')
    expect(findCanaries(JSON.stringify(data))).toEqual([])
    const huge = normalizer.read({ ...pod, spec: { containers: [{ image: 'x'.repeat(300_000) }] } })
    expect(huge.attached).toEqual({ objectOmitted: expect.any(Number) })
  })
})

it('a dead letter keeps its shape and loses its values, where it broke as well', () => {
  const line = JSON.stringify({ type: 'ADDED', object: plantPod('web', 'Running') })
  for (const end of [line.length, 500, 501, 777, 1200]) {
    expect(findCanaries(maskJsonText(line.slice(0, end)))).toEqual([])
  }
  expect(maskJsonText('{"example.com/token":1}')).toBe('{"…":1}')
  expect(maskJsonText('{"a":"b\\"c","n":1,"d":["e", "f')).toBe('{"a":"…","n":1,"d":["…", "…"')
})
