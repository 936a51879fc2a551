import type { Described } from './failure.ts'

/** Why history was lost, as the gap record says it. */
export type GapReason =
  /** The server no longer had the changes after our cursor. */
  | 'expired'
  /** The server's history is behind our cursor: restored from a backup, or another cluster under the same name. */
  | 'rewound'
  /** The server sent what could not be read, again and again. */
  | 'unreadable'
  /** The server failed again and again on our cursor. */
  | 'failing'

/** What outlives the change from one state to the next. */
export interface Memory {
  /** The resourceVersion up to which every change was handed on; empty before the first sync. */
  cursor: string
  /** The uid of the cluster that the cursor is from, as far as it is known; empty otherwise (R56). */
  clusterUid: string
  /** Failures in a row; decides the back-off. */
  attempt: number
  /** When the last failure was, ms. */
  failedAt: number
  /** Failures on this very cursor that going on cannot mend. */
  faults: number
  /** Connections in a row that ended cleanly, at once and without a word. */
  quietCloses: number
  /** Until when streaming lists are not tried, ms. */
  pagedUntil: number
  /** Whether this server sends bookmarks; once it does, their absence is a sign. */
  bookmarks: boolean
  /** Set while the next snapshot replaces history that was lost. */
  gap?: GapReason
}

/** Which versions a snapshot may have: the newest only, or any that is not older than the given one. */
export type Floor = '' | string

export type State =
  | { name: 'idle'; memory: Memory }
  /** Asks which cluster this is and for its newest resourceVersion: the cursor may lie in its future, or be another's. */
  | { name: 'probing'; memory: Memory }
  /** Receives the initial events of a streaming list; nothing counts before their end marker. */
  | { name: 'streaming'; memory: Memory; floor: Floor }
  /** Receives a list, page by page. `full`: everything in one answer. */
  | { name: 'listing'; memory: Memory; floor: Floor; full: boolean; snapshot?: string }
  /** In sync: each object is a change. */
  | { name: 'watching'; memory: Memory; openedAt: number; heard: boolean }
  | { name: 'waiting'; memory: Memory; next: { to: 'probe' } | { to: 'watch' } | { to: 'sync'; floor: Floor } }
  /** The queue behind us is full: the watch is closed until it has emptied. */
  | { name: 'draining'; memory: Memory }
  | { name: 'stopped'; memory: Memory }

export type Input =
  | { type: 'start' }
  /** The newest resourceVersion of the collection, and the cluster's uid where we may read it. */
  | { type: 'probed'; resourceVersion: string; clusterUid: string }
  /** An ADDED, MODIFIED or DELETED frame, or an item of a list (`gone` false). */
  | { type: 'object'; resourceVersion: string; gone: boolean }
  | { type: 'bookmark'; resourceVersion: string; endsInitialEvents: boolean }
  /** The end of one page of a list. */
  | { type: 'page'; resourceVersion: string; continue?: string }
  | { type: 'failed'; failure: Described }
  /** The server ended the response in the regular way. */
  | { type: 'closed' }
  /** Nothing arrived for as long as `silenceLimit` allows. */
  | { type: 'silent' }
  /** The sleep is over. */
  | { type: 'elapsed' }
  | { type: 'overflow' }
  | { type: 'drained' }
  | { type: 'stop' }

/** What the driver has to do, in order. Actions about "the object" mean the one that came with the input. */
export type Action =
  /** Closes the connection, if one is open; nothing from it counts any more. */
  | { type: 'disconnect' }
  /** A list with limit=1 and no resourceVersion, and the namespace kube-system; answers `probed`. */
  | { type: 'probe' }
  /** Keeps the cluster's uid with the next cursor. */
  | { type: 'identify'; clusterUid: string }
  /** One page of a list; `limit` 0 asks for everything at once. */
  | { type: 'list'; floor: Floor; limit: number; continue?: string }
  /** A watch; with `initialEvents` a streaming list first. */
  | { type: 'watch'; resourceVersion: string; initialEvents: boolean }
  /** Puts the object into the snapshot, or takes it out. */
  | { type: 'stage' }
  | { type: 'unstage' }
  | { type: 'clear-stage' }
  /** The snapshot is complete: compares it with what is known and hands on the difference. */
  | { type: 'commit'; resourceVersion: string; gap?: GapReason }
  /** Hands the object on as a change. */
  | { type: 'emit'; gone: boolean }
  /** Stores the cursor alone. */
  | { type: 'advance'; resourceVersion: string }
  /** Answers `drained` when the queue behind us is short again. */
  | { type: 'await-drain' }
  | { type: 'sleep'; ms: number }
  /** Reads token and certificates again before the next request. */
  | { type: 'renew-credentials' }
  /** Puts the unreadable bytes aside, for people to look at. */
  | { type: 'dead-letter' }
  /** For readiness and the log: what goes on, in words. */
  | { type: 'report'; health: 'syncing' | 'synced' | 'degraded'; reason?: string }

/** Clock and chance, so that one seed replays a whole run. */
export interface Env {
  /** Milliseconds. */
  now: number
  /** In [0, 1). */
  random: number
}

export interface Step {
  state: State
  actions: Action[]
}

/**
 * The state to begin in. `cursor`: the stored resourceVersion, empty when there was no sync yet; `clusterUid`: whose it is;
 * `gap`: why a snapshot has to be taken first, where the last one was written in part.
 */
export function createState(cursor: string, clusterUid: string, gap?: GapReason): State {
  const memory: Memory = {
    cursor,
    clusterUid,
    attempt: 0,
    failedAt: 0,
    faults: 0,
    quietCloses: 0,
    pagedUntil: 0,
    bookmarks: false,
    ...(gap === undefined ? {} : { gap }),
  }
  return { name: 'idle', memory }
}
