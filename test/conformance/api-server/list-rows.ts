import type { Body } from './client.ts'
import type { Row, Scene } from './run.ts'

const versionOf = ({ metadata }: Body) => metadata?.resourceVersion ?? ''
const namesOf = ({ items = [] }: Body) =>
  items.flatMap(({ metadata }) => metadata?.name ?? []).filter((name) => name !== 'kube-root-ca.crt')

async function list({ client, leases }: Scene, query = '') {
  const { code, body } = await client.send('GET', `${leases}${query}`)
  return { code, body, names: namesOf(body), version: versionOf(body) }
}

async function fill(scene: Scene, count: number): Promise<Body[]> {
  const made: Body[] = []
  for (let n = 0; n < count; n++)
    made.push(await scene.create(scene.leases, `l${n}`, { n: String(n), even: String(n % 2 === 0) }))
  return made
}

/** A version that no server has reached. */
const future = (version: string) => String(BigInt(version) + 1_000_000_000n)

/** Lists: the snapshot that a reflector starts from. */
export const listRows: readonly Row[] = [
  {
    name: 'a list holds everything, has a resourceVersion of its own, and is of a List kind',
    async run(scene) {
      const made = await fill(scene, 3)
      const { body, names, version } = await list(scene)
      scene.check([body.kind, names], ['LeaseList', ['l0', 'l1', 'l2']])
      scene.check(BigInt(version) >= BigInt(versionOf(made[2] ?? {})), true, 'the version is not older than its items')
    },
  },
  {
    name: 'pages have one resourceVersion, the order of the keys, and count what is left',
    async run(scene) {
      await fill(scene, 5)
      const first = await list(scene, '?limit=2')
      const token = encodeURIComponent(first.body.metadata?.continue ?? '')
      scene.check(first.names, ['l0', 'l1'])
      scene.check(first.body.metadata?.remainingItemCount, 3, 'remainingItemCount')
      await scene.create(scene.leases, 'l9')
      const second = await list(scene, `?limit=2&continue=${token}`)
      const rest = await list(scene, `?limit=9&continue=${encodeURIComponent(second.body.metadata?.continue ?? '')}`)
      scene.check([second.names, rest.names], [['l2', 'l3'], ['l4']], 'pages are of one moment')
      scene.check([second.version, rest.version], [first.version, first.version])
      scene.check(rest.body.metadata?.continue ?? '', '')
    },
  },
  {
    name: 'a page after the first takes no resourceVersion',
    async run(scene) {
      await fill(scene, 2)
      const first = await list(scene, '?limit=1')
      const token = encodeURIComponent(first.body.metadata?.continue ?? '')
      scene.check((await list(scene, `?limit=1&continue=${token}&resourceVersion=${first.version}`)).code, 400)
    },
  },
  {
    name: 'a continue token that is none is refused with 400',
    async run(scene) {
      scene.check((await list(scene, '?limit=1&continue=!!')).code, 400)
    },
  },
  {
    name: 'an expired continue token is 410 and offers another, of a later moment',
    async run(scene) {
      await fill(scene, 2)
      // The form of a token that the server gave out long ago (apiserver `storage/continue.go`).
      const old = Buffer.from(JSON.stringify({ v: 'meta.k8s.io/v1', rv: 1, start: '/l0\0' })).toString('base64url')
      const expired = await list(scene, `?limit=1&continue=${old}`)
      if (expired.code === 200) scene.skip('the server still has its whole history')
      scene.check([expired.code, expired.body.reason], [410, 'Expired'])
      const offered = encodeURIComponent(expired.body.metadata?.continue ?? '')
      const rest = await list(scene, `?limit=9&continue=${offered}`)
      scene.check([rest.code, rest.names], [200, ['l1']], 'it goes on from the same key')
    },
  },
  {
    name: 'resourceVersion=0 is answered from a cache, with whatever it has',
    async run(scene) {
      const { code, body } = await list(scene, '?resourceVersion=0')
      scene.check([code, body.kind], [200, 'LeaseList'])
    },
  },
  {
    name: 'NotOlderThan is at least as new as asked',
    async run(scene) {
      const [made] = await fill(scene, 1)
      const asked = versionOf(made ?? {})
      const { code, names, version } = await list(scene, `?resourceVersion=${asked}&resourceVersionMatch=NotOlderThan`)
      scene.check([code, names], [200, ['l0']])
      scene.check(BigInt(version) >= BigInt(asked), true)
    },
  },
  {
    name: 'Exact is the state of that very version',
    async run(scene) {
      const made = await fill(scene, 2)
      const asked = versionOf(made[0] ?? {})
      const { code, names, version } = await list(scene, `?resourceVersion=${asked}&resourceVersionMatch=Exact&limit=9`)
      scene.check([code, names, version], [200, ['l0'], asked])
    },
  },
  {
    name: 'a version from the future is 504 with the cause ResourceVersionTooLarge and a time to wait',
    async run(scene) {
      const { version } = await list(scene)
      const { code, body } = await list(scene, `?resourceVersion=${future(version)}&resourceVersionMatch=NotOlderThan`)
      scene.check([code, body.reason], [504, 'Timeout'])
      scene.check(body.details?.causes?.[0]?.reason, 'ResourceVersionTooLarge')
      scene.check((body.details?.retryAfterSeconds ?? 0) > 0, true, 'retryAfterSeconds')
    },
  },
  ...[
    ['resourceVersionMatch=Exact', 'a match without a version'],
    ['resourceVersion=0&resourceVersionMatch=Exact', 'exactly version 0'],
    ['resourceVersion=1&resourceVersionMatch=Odd', 'an unknown match'],
  ].map(
    ([query, what]): Row => ({
      name: `${what} is 422`,
      async run(scene) {
        const { code, body } = await list(scene, `?${query}`)
        scene.check([code, body.reason], [422, 'Invalid'])
      },
    }),
  ),
  ...(
    [
      ['n=1', ['l1']],
      ['n!=1,even', ['l0', 'l2']],
      ['n in (0,2)', ['l0', 'l2']],
      ['!n', []],
    ] as const
  ).map(
    ([selector, names]): Row => ({
      name: `labelSelector ${selector} selects`,
      async run(scene) {
        await fill(scene, 3)
        scene.check((await list(scene, `?labelSelector=${encodeURIComponent(selector)}`)).names, names)
      },
    }),
  ),
  {
    name: 'fieldSelector metadata.name selects one; an unknown field is 400',
    async run(scene) {
      await fill(scene, 2)
      scene.check((await list(scene, '?fieldSelector=metadata.name%3Dl1')).names, ['l1'])
      scene.check((await list(scene, '?fieldSelector=spec.nope%3D1')).code, 400)
    },
  },
  {
    name: 'a selector that does not parse is 400',
    async run(scene) {
      scene.check((await list(scene, '?labelSelector=a%3Db%3Dc')).code, 400)
    },
  },
  {
    name: 'a Table is given to whoever asks for one, and to nobody else',
    async run(scene) {
      await fill(scene, 1)
      const accept = 'application/json;as=Table;g=meta.k8s.io;v=v1'
      const { body } = await scene.client.send('GET', scene.leases, undefined, { accept })
      scene.check(body.kind, 'Table')
      scene.check((await list(scene)).body.kind, 'LeaseList')
    },
  },
]
