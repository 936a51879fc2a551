/** The names of everything that one cluster's relay keeps in Redis; all share a hash tag, so that one script may touch them. */
export interface Keys {
  /**
   * Hash: `epoch`, `seq` (newest entry), `first` (oldest kept entry), `bytes` (of all entries ever), `server` (that it was
   * written on), `past` (earlier epochs, each with the last entry that it shares with this one), `key` (that cursors are sealed with).
   */
  meta: string
  /** Stream: entry `<seq>-0` holds `e`, an event's JSON, and `b`, the bytes of all events before. Numbers have no gaps. */
  log: string
  /** Hash per feed (one watched collection): writer's lease and fence, batch number, resourceVersion, what it covers. */
  feed(id: string): string
  /** Sorted set: ids of feeds by the time of their last claim, in ms. */
  feeds: string
  /** Hash per resource: `<namespace>/<name>` to `<seq> <record JSON>`, the known set. */
  objects(resource: string): string
  /** Sorted set per resource, all scores 0: the keys of the known set in order. */
  index(resource: string): string
  /** List per Lease: its ended terms, newest first, each `<seq> <JSON>`. */
  terms(object: string): string
  /** List per identity: the ended terms that it had, of whatever Lease, in the same form. */
  heldTerms(holder: string): string
  /** Sorted set, all scores 0: `<holder>\n<namespace>/<name>` for each term that is running. */
  holds: string
  /** Hash: webhook id to record. */
  webhooks: string
  /** Prefix for whatever a part of the relay keeps beside the above. */
  own(...path: string[]): string
}

/** Names the keys of one cluster. */
export function createKeys(cluster: string): Keys {
  const tag = `{relay:${cluster}}`
  return {
    meta: `${tag}:meta`,
    log: `${tag}:log`,
    feed: (id) => `${tag}:feed:${id}`,
    feeds: `${tag}:feeds`,
    objects: (resource) => `${tag}:objects:${resource}`,
    index: (resource) => `${tag}:index:${resource}`,
    terms: (object) => `${tag}:terms:${object}`,
    heldTerms: (holder) => `${tag}:held:${holder}`,
    holds: `${tag}:holds`,
    webhooks: `${tag}:webhooks`,
    own: (...path) => [tag, ...path].join(':'),
  }
}
