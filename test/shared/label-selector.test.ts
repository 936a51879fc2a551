import { describe, expect, test } from 'vitest'
import { compileLabelSelector } from '../../shared/filter/selector.ts'

const labels = {
  app: 'web',
  shard: '7',
  zero: '007',
  huge: '9223372036854775808',
  text: 'x7',
  empty: '',
  in: 'b',
  'in-x': 'a',
}
const long = (length: number) => 'a'.repeat(length)

describe('a label selector means what it means to Kubernetes: labels.Parse', () => {
  test.each([
    [' \t\r\n', true],
    ['! app', false],
    ['app\t=\nweb', true],
    ['app in(web)', true],
    ['app notin(web),!b', false],
    ['empty in (,)', true],
    ['empty in (a,,b)', true],
    ['empty in (a,)', true],
    ['empty in ()', true],
    ['app in ()', false],
    ['app notin ()', true],
    ['app=,app', false],
    ['in in (b)', true],
    ['notin notin (notin)', true],
    ['in', true],
    ['in=in', false],
    ['in-x=a', true],
    ['in-x in (a)', true],
    ['!notin-y', true],
    ['app in (in,notin,web)', true],
    ['shard>6', true],
    ['shard > 7', false],
    ['shard<8,shard>06', true],
    ['zero>6', true],
    ['zero<8', true],
    ['huge>1', false],
    ['text>1', false],
    ['missing>1', false],
    ['missing<1', false],
    [`${long(63)}!=${long(63)}`, true],
    [`${long(63)}.${long(63)}.${long(63)}.${long(61)}/${long(63)}!=x`, true],
  ])('%j picks: %j', (text, picked) => {
    expect(compileLabelSelector(text)(labels)).toBe(picked)
  })

  test.each([
    ['app=a b', 'expected "," at character 7, found "b"'],
    ['app in (a b)', 'expected "," or ")" at character 11, found "b"'],
    ['app! =web', 'expected "," at character 4, found "!"'],
    ['app===web', 'expected a value at character 6, found "="'],
    ['!app=web', 'expected "," at character 5, found "="'],
    ['!!app', 'expected a label key at character 2'],
    ['app=)', 'expected a value at character 5, found ")"'],
    [',app', 'expected a label key at character 1'],
    ['app>', 'expected a whole number at the end'],
    ['app>x', '"x" at character 5 is not a whole number'],
    ['app>1.5', '"1.5" at character 5 is not a whole number'],
    ['app<9223372036854775808', 'is not a whole number'],
    ['app=-web', '"-web" at character 5 is not a label value'],
    ['app in (web-)', '"web-" at character 9 is not a label value'],
    [`app=${long(64)}`, 'at most 63'],
    ['app~=x', '"app~" at character 1 is not a label key'],
    ['x/y/z', 'not a label key'],
    ['/c', 'not a label key'],
    ['a/', 'not a label key'],
    ['A.B/c', 'not a label key'],
    [`${long(254)}/c`, 'not a label key'],
    [long(64), 'not a label key'],
    ['ключ=x', '"ключ" at character 1 is not a label key'],
    ['app=\u00a0web', 'not a label value'],
    ['app IN (a)', 'expected "," at character 5, found "IN"'],
  ])('%j is refused, saying where', (text, words) => {
    expect(() => compileLabelSelector(text)).toThrow(words)
  })
})
