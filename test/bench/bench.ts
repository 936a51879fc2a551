/** One measured figure, and how it compares. */
export interface Row {
  case: string
  value: number
  unit: string
  /** value ÷ the peer's value, taken in the same run. */
  ratios: Record<string, number>
}

export interface BenchOptions {
  /** How long one repetition is to last, roughly. */
  seconds: number
  /** Only cases whose name contains this. */
  only: string
}

/** One benchmark: yields rows as they are known; throws where a count is wrong, since a fast loss is a failure. */
export interface Bench {
  name: string
  describe: string
  run(options: BenchOptions): AsyncIterable<Row>
}

/** The middle of some figures: one disturbed repetition on a shared machine moves it little. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = Math.floor(sorted.length / 2)
  const [low, high] = [sorted[Math.ceil(sorted.length / 2) - 1], sorted[middle]]
  if (low === undefined || high === undefined) throw new Error('no figures to take the median of')
  return (low + high) / 2
}
