import { RelayError } from '../../shared/errors.ts'

/** How long an answer of the cluster is taken for true, in ms. */
const lifetime = 30_000
/** The same for a refusal: whoever was just given a permission need not wait for it. */
const refusalLifetime = 3_000
const maxAnswers = 10_000
/** How long the cluster may take for an answer, in ms. */
export const patience = 5_000
/**
 * Remembers answers of the cluster for a while, and asks a question once at a time.
 * @param report told how each question ended: with an error, or without.
 */
export function createAnswers<Answer>(now: () => Date, report: (error?: unknown) => void) {
  const kept = new Map<string, { answer: Promise<Answer>; until: number }>()
  let open = 0
  const ask = async (question: () => Promise<Answer>): Promise<Answer> => {
    const asked = question()
    open++
    try {
      const answer = await within(patience, asked)
      report()
      return answer
    } catch (error) {
      report(error)
      throw unavailable('The cluster cannot be asked at the moment.', error)
    } finally {
      open--
    }
  }
  return {
    async get(question: string, answerer: () => Promise<Answer>): Promise<Answer> {
      const time = now().getTime()
      const known = kept.get(question)
      if (known !== undefined && known.until > time) return known.answer
      const oldest = kept.size >= maxAnswers ? kept.keys().next().value : undefined
      if (oldest !== undefined) kept.delete(oldest)
      const entry = { answer: ask(answerer), until: time + lifetime }
      kept.set(question, entry)
      try {
        if (!(await entry.answer)) entry.until = time + refusalLifetime
      } catch (error) {
        if (kept.get(question) === entry) kept.delete(question)
        throw error
      }
      return entry.answer
    },
    /** How many are asked at the moment. */
    open: () => open,
    clear: () => kept.clear(),
  }
}

/** Lets so many work at a time; the others wait for their turn. */
export function createTurns(size: number) {
  const waiting: (() => void)[] = []
  let busy = 0
  return async <Result>(work: () => Promise<Result>): Promise<Result> => {
    if (busy >= size) await new Promise<void>((resolve) => waiting.push(resolve))
    else busy++
    try {
      return await work()
    } finally {
      const next = waiting.shift()
      if (next === undefined) busy--
      else next()
    }
  }
}

/** Gives up work that takes longer than so many ms; it is not ended. */
export async function within<Result>(ms: number, work: Promise<Result>): Promise<Result> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${ms / 1000} s`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

/** What is answered when the cluster does not. */
export function unavailable(message: string, cause?: unknown): RelayError {
  return new RelayError('unavailable', message, { retryAfter: 2, cause })
}
