const second = 1000
const minute = 60 * second
const hour = 60 * minute

/**
 * Pauses before each attempt in ms; the first is at once. Eleven attempts over at least 75 hours.
 */
export const defaultSchedule: readonly number[] = [
  0,
  5 * second,
  minute,
  5 * minute,
  30 * minute,
  2 * hour,
  5 * hour,
  10 * hour,
  14 * hour,
  20 * hour,
  24 * hour,
]

const jitter = 0.2
const longestRetryAfter = 24 * hour

/**
 * How long to wait before the next attempt, in ms; undefined after the last.
 * @param made how many attempts were made.
 * @param random from [0, 1): spreads retries over a fifth of the pause, never ahead of it.
 * @param retryAfter ms that the endpoint asked for; a wish for less than the schedule's pause, or more than a day, is not met.
 */
export function nextPause(
  made: number,
  random: number,
  retryAfter = 0,
  schedule: readonly number[] = defaultSchedule,
): number | undefined {
  const pause = schedule[made]
  if (pause === undefined) return undefined
  return Math.round(Math.max(pause, Math.min(retryAfter, longestRetryAfter)) * (1 + jitter * random))
}

/**
 * Reads a Retry-After header, a number of seconds or a date.
 * @param now ms since 1970.
 * @returns ms to wait, undefined for what is neither.
 * @see https://www.rfc-editor.org/rfc/rfc9110#field.retry-after
 */
export function parseRetryAfter(value: string, now: number): number | undefined {
  if (/^\s*\d{1,10}\s*$/.test(value)) return Number(value) * second
  // Date.parse would also take "1.5" and "-3" for years.
  const date = /^\s*[A-Za-z]{3}/.test(value) ? Date.parse(value) : Number.NaN
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
