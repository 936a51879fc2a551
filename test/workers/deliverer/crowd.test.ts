import { expect, it } from 'vitest'
import { createCrowd } from '../../../workers/deliverer/crowd.ts'

/** Has jobs of these sizes ask for room, in this order, and notes who got in. */
function ask(crowd: ReturnType<typeof createCrowd>, sizes: readonly number[]) {
  const entered: number[] = []
  const leave: (() => void)[] = []
  for (const [n, size] of sizes.entries()) {
    void crowd.enter(size).then((done) => {
      entered.push(n)
      leave[n] = done
    })
  }
  return { entered, leave }
}

it('lets jobs in while there is room, and then in the order in which they came', async () => {
  const { entered, leave } = ask(createCrowd({ most: 10, idle: () => 0 }), [4, 4, 4, 2])
  await expect.poll(() => entered).toEqual([0, 1])
  leave[1]?.()
  await expect.poll(() => entered).toEqual([0, 1, 2, 3])
})

it('lets a job in alone that is larger than the room', async () => {
  const { entered, leave } = ask(createCrowd({ most: 10, idle: () => 0 }), [64, 1])
  await expect.poll(() => entered).toEqual([0])
  leave[0]?.()
  leave[0]?.()
  await expect.poll(() => entered).toEqual([0, 1])
})

it('does not count who is still inside although the process had time to spare', async () => {
  let idle = 0
  const { entered, leave } = ask(createCrowd({ most: 10, idle: () => idle }), [10, 10, 10])
  await expect.poll(() => entered).toEqual([0])
  idle = 60
  await expect.poll(() => entered).toEqual([0, 1])
  // It did not count any more, and so makes no room.
  leave[0]?.()
  await new Promise((resolve) => setTimeout(resolve, 30))
  expect(entered).toEqual([0, 1])
  leave[1]?.()
  await expect.poll(() => entered).toEqual([0, 1, 2])
})
