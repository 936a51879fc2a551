/** One small bug: in this file, this text becomes that. */
export interface Mutation {
  /** What the bug is, in a few words. */
  name: string
  file: string
  /** Must be there exactly once. */
  from: string
  to: string
}

const step = 'workers/reflector/step.ts'
const reflector = 'workers/reflector/reflector.ts'
const failure = 'workers/reflector/failure.ts'
const lines = 'workers/reflector/lines.ts'
const body = 'workers/reflector/read-body.ts'
const specs = 'workers/reflector/spec-reader.ts'
const versions = 'workers/reflector/resource-version.ts'
const feed = 'workers/watcher/feed.ts'
const ledger = 'workers/watcher/ledger.ts'
const watcher = 'workers/watcher/watcher.ts'
const leaseClock = 'workers/watcher/lease-clock.ts'
const reader = 'shared/log/reader.ts'
const filter = 'shared/filter/filter.ts'
const clauses = 'shared/filter/clauses.ts'

/** Bugs that somebody might write; each must be noticed by the tests. */
export const mutations: readonly Mutation[] = [
  {
    name: 'advance the cursor before the append',
    file: feed,
    from: '        resourceVersion,\n        note: JSON',
    to: "        resourceVersion: queue.findLast((delta) => delta.type === 'object')?.data.resourceVersion ?? resourceVersion,\n        note: JSON",
  },
  { name: 'give up an append that failed', file: feed, from: 'if (answer === undefined) break\n', to: '' },
  {
    name: 'swallow an error of Redis and go on with the next batch',
    file: feed,
    from: '        deps.onTrouble((error as Error).message)\n',
    to: "        deps.onTrouble((error as Error).message)\n        return { outcome: 'ok' as const, from: seen, to: seen }\n",
  },
  {
    name: 'ignore that another writer took the feed',
    file: feed,
    from: "if (answer.outcome !== 'ok' && answer.outcome !== 'duplicate') {",
    to: "if (answer.outcome === 'epoch' || answer.outcome === 'conflict') {",
  },
  {
    name: 'take a batch that is there already for lost',
    file: feed,
    from: "answer.outcome !== 'duplicate'",
    to: 'true',
  },
  {
    name: 'store the version of a snapshot with its first part',
    file: feed,
    from: "      if (resourceVersion !== '') note",
    to: "      resourceVersion = delta.found.resourceVersion\n      if (resourceVersion !== '') note",
  },
  {
    name: 'forget that a relist was written in part',
    file: feed,
    from: "note = { ...note, unfinished: delta.found.gap ?? 'expired' }",
    to: 'note = { ...note }',
  },
  {
    name: 'forget to clear the stage',
    file: feed,
    from: '    clearStage() {\n      staged = new Map()\n',
    to: '    clearStage() {\n',
  },
  {
    name: 'tell of the first sync as if it were news',
    file: feed,
    from: 'isFirstSync: note.isFirstSync }',
    to: 'isFirstSync: false }',
  },
  {
    name: 'take an ordinary bookmark for the end of the initial events',
    file: step,
    from: 'if (!endsInitialEvents) return ignore(state)',
    to: '',
  },
  {
    name: 'take a stream that ended early for a snapshot',
    file: step,
    from: "    closed: (state, _, env) => backOff(state.memory, { to: 'sync', floor: state.floor }, cutShort, env),\n    // A server",
    to: '    closed: (state, _, env) => watch(commit(state.memory, state.memory.cursor).memory, env),\n    // A server',
  },
  {
    name: 'use the inconsistent continue token',
    file: step,
    from: "if (failure.kind === 'expired' && isMidway) return list(state.memory, '', true)",
    to: '',
  },
  {
    name: 'compare the pages of a list not at all',
    file: step,
    from: 'state.snapshot !== undefined && state.snapshot !== resourceVersion',
    to: 'false',
  },
  {
    name: 'announce no gap',
    file: step,
    from: "const lost = memory.cursor === '' ? {} : { gap: memory.gap ?? gap }",
    to: 'const lost = {}',
  },
  {
    name: 'take what the watch tells again for news',
    file: step,
    from: '    object(state, { resourceVersion, gone }) {\n      if (isPast(state.memory, resourceVersion)) return',
    to: '    object(state, { resourceVersion, gone }) {\n      if (resourceVersion === undefined) return',
  },
  {
    name: 'not look whether the server went back',
    file: step,
    from: 'const isFuture = order !== undefined && order < 0',
    to: 'const isFuture = false',
  },
  {
    name: 'compare the wrong way round',
    file: step,
    from: 'order !== undefined && order < 0\n}',
    to: 'order !== undefined && order > 0\n}',
  },
  {
    name: 'relist on a 429',
    file: step,
    from: "    case 'expired':\n      return relist(memory, 'expired', '', env)",
    to: "    case 'busy':\n    case 'expired':\n      return relist(memory, 'expired', '', env)",
  },
  {
    name: 'resume the watch after an expiry',
    file: step,
    from: "    case 'expired':\n      return relist(memory, 'expired', '', env)",
    to: "    case 'expired':\n      return retry(memory)",
  },
  {
    name: 'go on watching after a half relist',
    file: step,
    from: ' || memory.gap !== undefined ? sync',
    to: ' ? sync',
  },
  {
    name: 'skip a frame of an unknown type',
    file: reflector,
    from: 'throw new ProtocolError(`unknown watch event type',
    to: 'if (type !== undefined) return undefined\n        throw new ProtocolError(`unknown watch event type',
  },
  { name: 'take a deletion for a change', file: reflector, from: "gone: type === 'DELETED' }", to: 'gone: false }' },
  {
    name: 'go on listening to a connection that was given up',
    file: reflector,
    from: 'if (connection !== controller || input === undefined) return',
    to: 'if (input === undefined) return',
  },
  {
    name: 'not measure silence',
    file: reflector,
    from: 'now() - lastByteAt > silenceLimit(state, timeoutSeconds)',
    to: 'now() - lastByteAt > Number.POSITIVE_INFINITY',
  },
  {
    name: 'take 410 for an ordinary refusal',
    file: failure,
    from: "if (code === 410 || reason === 'Expired' || reason === 'Gone')",
    to: "if (reason === 'Gone')",
  },
  {
    name: 'go on with what is in the buffer after an error',
    file: body,
    from: "body.off('data', hand).destroy()",
    to: 'body.destroy()',
  },
  {
    name: 'take the spec of before for the one that came',
    file: specs,
    from: 'known?.bytes.equals(frame.subarray(from, from + known.bytes.length)) === true',
    to: 'known !== undefined',
  },
  {
    name: 'lose the part of a frame that came before a cut',
    file: lines,
    from: 'parts.length === 0 ? tail : Buffer.concat([...parts, tail])',
    to: 'tail',
  },
  {
    name: 'compare versions as text',
    file: versions,
    from: '  if (a.length !== b.length) return a.length - b.length\n',
    to: '',
  },
  {
    name: 'not see that the name belongs to another object now',
    file: ledger,
    from: 'if (stored !== undefined && !isSame) remove(',
    to: 'if (stored === undefined && !isSame) remove(',
  },
  {
    name: 'tell of deletions in a relist not at all',
    file: ledger,
    from: "        remove(key, undefined, { now, isFirstSync }, 'relist')\n",
    to: '',
  },
  {
    name: 'tell again what a relist finds unchanged',
    file: ledger,
    from: 'if (isSameVersion && !tellsNews(recall(key), found)) continue',
    to: '',
  },
  {
    name: 'take equal versions for equal states after a restore',
    file: ledger,
    from: 'if (isSameVersion && !isRewound) continue',
    to: 'if (isSameVersion) continue',
  },
  {
    name: 'not record the states of what was told',
    file: ledger,
    from: "      states.set(key, { op: 'delete', key })\n",
    to: '',
  },
  {
    name: 'start over without what the last writer noted',
    file: watcher,
    from: "...(claim.note === '' ? {} :",
    to: "...(claim.note !== '' ? {} :",
  },
  {
    name: 'not give up a claim that another has',
    file: watcher,
    from: "if (answer.held || answer.fence !== claim.fence) lose('fenced')",
    to: "if (answer.held && answer.owner === deps.owner) lose('fenced')",
  },
  {
    name: 'expire a lease without asking the server',
    file: leaseClock,
    from: 'if (isStill && isSynced()) {',
    to: 'if (isSynced()) {',
  },
  {
    name: 'go on reading where the log lost entries',
    file: reader,
    from: 'last === undefined || seq > last ||',
    to: 'last === undefined ||',
  },
  {
    name: 'hide gaps from filtered subscribers',
    file: filter,
    from: "if (event.type === gapType) return event.data.namespace && ofNamespace?.test(event) === false ? undefined : 'in'",
    to: '',
  },
  {
    name: 'not tell that an object left the scope',
    file: clauses,
    from: "return before ? 'left' : undefined",
    to: 'return undefined',
  },
]
