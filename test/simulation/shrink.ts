import type { Plan } from './plan.ts'
import { judgeHistory, type Violation } from './validators/validators.ts'
import { playPlan } from './world.ts'

/** Plays a plan and judges what came of it. */
export async function tryPlan(plan: Plan): Promise<Violation[]> {
  return judgeHistory(await playPlan(plan))
}

/**
 * Makes a failing plan smaller: leaves out steps, subscribers and watchers for as long as it still fails.
 * @param most how many plans may be tried.
 */
export async function shrinkPlan(plan: Plan, fails: (plan: Plan) => Promise<boolean>, most = 400): Promise<Plan> {
  let tries = 0
  const stillFails = (smaller: Plan) => {
    tries++
    return fails(smaller)
  }

  let best = plan
  for (const less of simplifications) {
    const smaller = { ...best, ...less }
    if (await stillFails(smaller)) best = smaller
  }
  for (
    let size = Math.ceil(best.steps.length / 2);
    size >= 1 && tries < most;
    size = size === 1 ? 0 : Math.ceil(size / 2)
  ) {
    for (let at = 0; at < best.steps.length && tries < most; ) {
      const smaller = { ...best, steps: best.steps.toSpliced(at, size) }
      if (await stillFails(smaller)) best = smaller
      else at += size
    }
  }
  return best
}

/** What else may be left out. */
const simplifications: readonly Partial<Plan>[] = [
  { watchers: 1 },
  { subscribers: [{}] },
  { resources: 'pods' },
  { abilities: { streamingLists: true, bookmarks: true } },
  { limits: { batch: 500, backlog: 5000 } },
  { retention: { keepEntries: 100_000 } },
]

/** Writes a plan down, one step a line. */
export function describePlan({ steps, ...rest }: Plan): string {
  const lines = steps.map(({ at, deed }) => {
    const { do: name, ...details } = deed
    return `  ${(at / 1000).toFixed(3).padStart(8)} s  ${name} ${JSON.stringify(details)}`
  })
  return [JSON.stringify(rest), ...lines].join('\n')
}
