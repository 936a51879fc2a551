/** The newest entry that a process knows of: a log that ends before it has lost entries. */
export interface Seen {
  /** The newest that was seen in this epoch, 0 for another one than the last. */
  in(epoch: string): number
  raise(epoch: string, seq: number): void
}

/** Creates what all feeds of a process share, so that the loss of one feed's entries is noticed by whichever appends first. */
export function createSeen(): Seen {
  let newest = { epoch: '', seq: 0 }
  return {
    in: (epoch) => (epoch === newest.epoch ? newest.seq : 0),
    raise(epoch, seq) {
      if (epoch !== newest.epoch || seq > newest.seq) newest = { epoch, seq }
    },
  }
}
