export type Turn = <T>(work: () => Promise<T>) => Promise<T>

/** Runs pieces of work one after the other, in the order in which they were asked for. */
export function createTurns(): Turn {
  let last: Promise<unknown> = Promise.resolve()
  return (work) => {
    const turn = last.then(work)
    // Whoever asked for the turn sees its failure; the next one in line does not.
    last = turn.catch(() => undefined)
    return turn
  }
}
