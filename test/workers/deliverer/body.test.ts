import { expect, it } from 'vitest'
import { writeBody } from '../../../workers/deliverer/body.ts'
import { podEvent } from './stage.ts'

const write = (data: object, fields?: string[]) => {
  const event = podEvent('web')
  const json = JSON.stringify({ ...event, data: { ...event.data, ...data } })
  const text = writeBody(json, 'a-1', undefined, fields)
  return { text, event: JSON.parse(text) }
}

it('sends an event as the log has it, with its cursor', () => {
  const { event } = write({ phase: 'Failed' })
  expect(event).toMatchObject({ cursor: 'a-1', data: { phase: 'Failed' } })
  expect(event).not.toHaveProperty('truncated')
})

it('sends no more than 20 kB: what is largest goes first, and what it is about stays', () => {
  const long = 'ü'.repeat(15_000)
  const { text, event } = write({ object: { spec: long }, labels: { app: 'web' } })
  expect(text.length).toBeLessThan(2000)
  expect(event.truncated).toBe('object')
  expect(event.data).toMatchObject({ name: 'web', labels: { app: 'web' } })
  const changes = Array.from({ length: 500 }, () => ({ type: 'labels', from: long.slice(0, 100), to: {} }))
  const worst = write({ object: long, old: long, labels: { long }, changes })
  expect(Buffer.byteLength(worst.text)).toBeLessThanOrEqual(20_000)
  expect(worst.event.truncated).toBe('object,old,labels,changes')
  expect(worst.event.data.changes[0]).toEqual({ type: 'labels' })
})

it('sends only the fields that were asked for', () => {
  const { event } = write({ labels: { 'app.kubernetes.io/name': 'web', team: 'x' }, node: 'n', phase: 'Failed' }, [
    'phase',
    'labels.app.kubernetes.io/name',
    'labels.nothing',
    'nothing',
    'phase.of.nothing',
    '__proto__',
  ])
  expect(event.data).toEqual({
    namespace: 'shop',
    name: 'web',
    uid: 'web-uid',
    resourceVersion: expect.any(String),
    phase: 'Failed',
    labels: { 'app.kubernetes.io/name': 'web' },
  })
})
