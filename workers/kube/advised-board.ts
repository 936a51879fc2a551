import { nameFeed, type WatchedResource } from '../../shared/resource.ts'
import type { FeedStatus, StatusBoard } from '../watcher/status-board.ts'

/** A status board that also says what to do about it. */
export interface AdvisedBoard extends StatusBoard {
  /** Takes in which feed a resource has become. */
  know(watched: WatchedResource): void
  /** Says what is wrong with a feed, better than its watch can; nothing: not any more. */
  report(feed: string, problem?: string): void
}

/** Adds advice to a board: what discovery found wrong, and which rights are missing. */
export function adviseBoard(board: StatusBoard): AdvisedBoard {
  const known = new Map<string, WatchedResource>()
  const problems = new Map<string, string>()
  const newest = new Map<string, { state: FeedStatus['state']; reason?: string | undefined }>()

  function show(feed: string): void {
    const { state = 'degraded', reason } = newest.get(feed) ?? {}
    const watched = known.get(feed)
    const explained = watched === undefined ? reason : explainRefusal(watched, reason)
    board.set(feed, state, state === 'degraded' ? (problems.get(feed) ?? explained) : reason)
  }

  return {
    ...board,
    know: (watched) => void known.set(nameFeed(watched), watched),
    report(feed, problem) {
      if (problem === undefined) problems.delete(feed)
      else problems.set(feed, problem)
      // A watch that goes well needs no advice, and one that was never started has nothing else to show.
      if (problem !== undefined && (newest.get(feed)?.state ?? 'degraded') === 'degraded') show(feed)
    },
    set(feed, state, reason) {
      newest.set(feed, { state, reason })
      show(feed)
    },
    remove(feed) {
      newest.delete(feed)
      board.remove(feed)
    },
  }
}

/** Adds to the server's refusal what to do about it: which right is missing, or how to do with less. */
function explainRefusal(watched: WatchedResource, reason: string | undefined): string | undefined {
  if (reason === undefined || !reason.includes('forbidden')) return reason
  const { group, resource, namespace } = watched
  const rule = `list and watch on ${resource} in the group "${group}"`
  if (namespace !== undefined) return `${reason}. A Role in ${namespace} has to allow ${rule}`
  const some = `'${resource}?namespace=a ${resource}?namespace=b'`
  return `${reason}. A ClusterRole has to allow ${rule}; or watch single namespaces, RELAY_RESOURCES=${some}`
}
