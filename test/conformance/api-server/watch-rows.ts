import type { Body, Frame } from './client.ts'
import type { Row, Scene } from './run.ts'

const versionOf = ({ metadata }: Body) => metadata?.resourceVersion ?? ''
const brief = (frame: Frame | undefined) =>
  `${frame?.type} ${frame?.object.metadata?.name} ${versionOf(frame?.object ?? {})}`

/** The version of the collection now. */
async function now({ client, leases }: Scene): Promise<string> {
  return versionOf((await client.send('GET', `${leases}?limit=1`)).body)
}

async function remove({ client, leases }: Scene, name: string): Promise<Body> {
  return (await client.send('DELETE', `${leases}/${name}`)).body
}

const streaming = 'sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true'
const isMarker = ({ type, object }: Frame) =>
  type === 'BOOKMARK' && object.metadata?.annotations?.['k8s.io/initial-events-end'] === 'true'

/** Watches: what a reflector lives on. */
export const watchRows: readonly Row[] = [
  {
    name: 'a watch from a version tells all that came after, in order, each with its own version',
    async run(scene) {
      const from = await now(scene)
      const watch = await scene.client.watch(`${scene.leases}?watch=1&resourceVersion=${from}`)
      const added = await scene.create(scene.leases, 'a')
      const modified = await scene.patch(scene.leases, 'a', { metadata: { labels: { x: 'y' } } })
      await remove(scene, 'a')
      const seen = [await watch.next(), await watch.next(), await watch.next()]
      watch.close()
      scene.check(seen.slice(0, 2).map(brief), [`ADDED a ${versionOf(added)}`, `MODIFIED a ${versionOf(modified)}`])
      const gone = seen[2]
      scene.check([gone?.type, gone?.object.metadata?.labels?.x], ['DELETED', 'y'], 'a deletion carries the last state')
      scene.check(BigInt(versionOf(gone?.object ?? {})) > BigInt(versionOf(modified)), true, 'and a version of its own')
    },
  },
  {
    name: 'a watch resumes exactly after a version',
    async run(scene) {
      const first = await scene.create(scene.leases, 'a')
      const second = await scene.create(scene.leases, 'b')
      const watch = await scene.client.watch(`${scene.leases}?watch=1&resourceVersion=${versionOf(first)}`)
      const seen = await watch.next()
      watch.close()
      scene.check(brief(seen), `ADDED b ${versionOf(second)}`)
    },
  },
  {
    name: 'a watch without a version begins with the current objects',
    async run(scene) {
      const made = await scene.create(scene.leases, 'a')
      const watch = await scene.client.watch(`${scene.leases}?watch=1`)
      const seen = await watch.next()
      watch.close()
      scene.check(brief(seen), `ADDED a ${versionOf(made)}`)
    },
  },
  {
    name: 'a streaming list ends with a marked bookmark, and the stream goes on',
    async run(scene) {
      if (scene.minor < 32) scene.skip(`streaming lists are off by default in 1.${scene.minor}`)
      const made = await scene.create(scene.leases, 'a')
      const watch = await scene.client.watch(`${scene.leases}?watch=1&${streaming}`)
      const first = await watch.next(true)
      const marker = await watch.next(true)
      const later = await scene.create(scene.leases, 'b')
      const next = await watch.next()
      watch.close()
      scene.check(brief(first), `ADDED a ${versionOf(made)}`)
      scene.check(marker !== undefined && isMarker(marker), true, 'the marker')
      scene.check(BigInt(versionOf(marker?.object ?? {})) >= BigInt(versionOf(made)), true, 'its version')
      scene.check(brief(next), `ADDED b ${versionOf(later)}`)
    },
  },
  {
    name: 'a streaming list of nothing is a marker',
    async run(scene) {
      if (scene.minor < 32) scene.skip(`streaming lists are off by default in 1.${scene.minor}`)
      const watch = await scene.client.watch(`${scene.leases}?watch=1&${streaming}`)
      const marker = await watch.next(true)
      watch.close()
      scene.check(marker !== undefined && isMarker(marker), true)
    },
  },
  {
    name: 'sendInitialEvents without its match is 422',
    async run(scene) {
      const { code, body } = await scene.client.send('GET', `${scene.leases}?watch=1&sendInitialEvents=true`)
      scene.check([code, body.reason], [422, 'Invalid'])
    },
  },
  {
    name: 'a version that is long gone is 410 as an ERROR event inside a 200, or as the status',
    async run(scene) {
      const watch = await scene.client.watch(`${scene.leases}?watch=1&resourceVersion=1`)
      const frame = await watch.next()
      watch.close()
      if (frame?.type === 'ADDED') scene.skip('the server still has its whole history')
      const code = watch.code === 200 ? frame?.object.code : watch.code
      scene.check([code, frame?.object.reason], [410, 'Expired'])
    },
  },
  {
    name: 'a version from the future gives silence: no error and no event before it',
    async run(scene) {
      const future = String(BigInt(await now(scene)) + 1_000_000n)
      const watch = await scene.client.watch(`${scene.leases}?watch=1&resourceVersion=${future}&timeoutSeconds=2`)
      await scene.create(scene.leases, 'a')
      const frames = await watch.rest()
      scene.check([watch.code, frames.map(brief)], [200, []])
    },
  },
  {
    name: 'timeoutSeconds ends a watch cleanly',
    async run(scene) {
      const watch = await scene.client.watch(
        `${scene.leases}?watch=1&resourceVersion=${await now(scene)}&timeoutSeconds=1`,
      )
      scene.check((await watch.rest()).map(brief), [])
    },
  },
  {
    name: 'a bookmark comes before the deadline, with a version, and only where allowed',
    async run(scene) {
      const query = `watch=1&resourceVersion=${await now(scene)}&timeoutSeconds=4`
      const open = (more: string) => scene.client.watch(`${scene.leases}?${query}${more}`)
      const [allowed, not] = await Promise.all([open('&allowWatchBookmarks=true'), open('')])
      const [marks, none] = await Promise.all([allowed.rest(), not.rest()])
      scene.check(none.map(brief), [])
      if (marks.length === 0) scene.skip('the server sent no bookmark within four seconds; nothing may depend on one')
      scene.check([marks[0]?.type, versionOf(marks[0]?.object ?? {}) !== ''], ['BOOKMARK', true])
    },
  },
  {
    name: 'leaving a selector is DELETED with the version of the change, entering is ADDED',
    async run(scene) {
      await scene.create(scene.leases, 'a', { app: 'web' })
      const watch = await scene.client.watch(
        `${scene.leases}?watch=1&labelSelector=app%3Dweb&resourceVersion=${await now(scene)}`,
      )
      const left = await scene.patch(scene.leases, 'a', { metadata: { labels: { app: 'api' } } })
      await scene.patch(scene.leases, 'a', { metadata: { labels: { other: 'x' } } })
      const entered = await scene.patch(scene.leases, 'a', { metadata: { labels: { app: 'web' } } })
      const seen = [await watch.next(), await watch.next()]
      watch.close()
      scene.check(seen.map(brief), [`DELETED a ${versionOf(left)}`, `ADDED a ${versionOf(entered)}`])
      scene.check(seen[0]?.object.metadata?.labels?.app, 'web', 'the state that matched')
    },
  },
  {
    name: 'a watch of one object hears of that one only',
    async run(scene) {
      const from = await now(scene)
      await scene.create(scene.leases, 'a')
      const made = await scene.create(scene.leases, 'b')
      const watch = await scene.client.watch(
        `${scene.leases}?watch=1&fieldSelector=metadata.name%3Db&resourceVersion=${from}&timeoutSeconds=2`,
      )
      const frames = (await watch.rest()).filter(({ type }) => type !== 'BOOKMARK')
      scene.check(frames.map(brief), [`ADDED b ${versionOf(made)}`])
    },
  },
  {
    name: 'a successor under the same name has another uid',
    async run(scene) {
      const from = await now(scene)
      const first = await scene.create(scene.leases, 'a')
      await remove(scene, 'a')
      const second = await scene.create(scene.leases, 'a')
      const watch = await scene.client.watch(`${scene.leases}?watch=1&resourceVersion=${from}`)
      const seen = [await watch.next(), await watch.next(), await watch.next()]
      watch.close()
      const uids = [first, first, second].map(({ metadata }) => metadata?.uid)
      scene.check(
        seen.map((frame) => frame?.object.metadata?.uid),
        uids,
      )
      scene.check(first.metadata?.uid === second.metadata?.uid, false)
    },
  },
  {
    name: 'a change that changes nothing is no event',
    async run(scene) {
      const made = await scene.create(scene.leases, 'a', { x: 'y' })
      const same = await scene.patch(scene.leases, 'a', { metadata: { labels: { x: 'y' } } })
      scene.check(versionOf(same), versionOf(made))
    },
  },
]
