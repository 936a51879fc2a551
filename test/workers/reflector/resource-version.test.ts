import { expect, it } from 'vitest'
import { compareResourceVersions } from '../../../workers/reflector/resource-version.ts'

it.each([
  ['9', '10', -1],
  ['10', '9', 1],
  ['230609819', '230609819', 0],
  // Above 2^53 these two are the same Number.
  ['9007199254740993', '9007199254740992', 1],
  ['18446744073709551615', '9999999999999999999', 1],
])('R49 orders versions as the decimal strings that they are: %s and %s', (a, b, order) => {
  expect(Math.sign(compareResourceVersions(a, b) ?? Number.NaN)).toBe(order)
})

it.each([
  ['abc', 'abd'],
  ['007', '8'],
  ['0', '5'],
  ['1.5', '2'],
  ['', '5'],
])('R49 defines no order for %j and %j, only equality', (a, b) => {
  expect(compareResourceVersions(a, b)).toBeUndefined()
  expect(compareResourceVersions(a, a)).toBe(0)
})
