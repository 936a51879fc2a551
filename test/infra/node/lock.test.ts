import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { awaitFolder, type FolderLock, type Holder, lockFolder } from '../../../infra/node/lock.ts'

let folder: string
const never = new AbortController().signal

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-lock-'))
})

afterEach(() => rm(folder, { recursive: true, force: true }))

async function take(): Promise<FolderLock> {
  const answer = await lockFolder(folder)
  if ('heldBy' in answer) throw new Error(`held by ${answer.heldBy}`)
  return answer
}

it('is for one at a time, and tells who has it', async () => {
  const lock = await take()
  expect(await lockFolder(folder)).toEqual({ heldBy: process.pid, isLeaving: false })
  lock.release()
  ;(await take()).release()
})

it('is waited for where its holder says that it is ending, and had when that has ended', async () => {
  const lock = await take()
  lock.leave()
  const waits: Holder[] = []
  const awaited = awaitFolder(folder, never, (holder) => {
    waits.push(holder)
    lock.release()
  })
  const next = await awaited
  expect(waits).toEqual([{ heldBy: process.pid, isLeaving: true }])
  expect('heldBy' in next).toBe(false)
  // Who ended left no word for the next one.
  expect(await lockFolder(folder)).toEqual({ heldBy: process.pid, isLeaving: false })
  if ('release' in next) next.release()
})

it('is refused soon where its holder stays', async () => {
  const lock = await take()
  expect(await awaitFolder(folder, never, () => expect.unreachable())).toEqual({
    heldBy: process.pid,
    isLeaving: false,
  })
  lock.release()
})

it('is not waited for any longer than the one who waits wants it', async () => {
  const lock = await take()
  lock.leave()
  const stopping = new AbortController()
  await expect(awaitFolder(folder, stopping.signal, () => stopping.abort())).rejects.toThrow('aborted')
  lock.release()
})

it('is left without a word where its folder was removed meanwhile', async () => {
  const lock = await take()
  await rm(folder, { recursive: true })
  lock.leave()
  lock.release()
})
