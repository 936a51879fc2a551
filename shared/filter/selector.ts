import { invalid } from '../errors.ts'

type Labels = Readonly<Record<string, string>>
type Requirement = (labels: Labels) => boolean

/** True for the labels that a selector picks. */
export type LabelSelector = (labels: Labels) => boolean

const token = /[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^=!(),<> \t\r\n]+))/y
const name = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/
const prefix = /^(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const words = 'letters, digits, "-", "_" and ".", at most 63, the first and the last a letter or digit'
const mostInteger = 2n ** 63n - 1n

interface Token {
  text: string
  isWord: boolean
  /** Where it begins, counted in characters from 0. */
  at: number
}

/**
 * Compiles a label selector in Kubernetes' syntax: `app=web`, `tier!=db`, `env in (a,b)`, `env notin (c)`, `key`, `!key`,
 * `shard>4`, `shard<9`, joined by commas. As in Kubernetes, `!=` and `notin` also pick objects without the key.
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
 * @see https://github.com/kubernetes/apimachinery/blob/master/pkg/labels/selector.go
 * @throws RelayError `invalid`, with the character at which the text stops to make sense.
 */
export function compileLabelSelector(text: string, field = 'labelSelector'): LabelSelector {
  const reader = createReader(text, field)
  const requirements: Requirement[] = []
  while (!reader.isAtEnd()) {
    requirements.push(readRequirement(reader))
    if (reader.isAtEnd()) break
    if (!reader.take(',')) reader.fail('","')
    if (reader.isAtEnd()) reader.fail('a label key')
  }
  return (labels) => requirements.every((requirement) => requirement(labels))
}

type Reader = ReturnType<typeof createReader>

/** What follows a key, and which labels it wants. */
const comparisons: Readonly<Record<string, (reader: Reader, key: string) => Requirement>> = {
  '=': readEqual,
  '==': readEqual,
  '!=': (reader, key) => negate(readEqual(reader, key)),
  in: readIncluded,
  notin: (reader, key) => negate(readIncluded(reader, key)),
  '>': (reader, key) => compare(key, readInteger(reader), 1),
  '<': (reader, key) => compare(key, readInteger(reader), -1),
}

function readRequirement(reader: Reader): Requirement {
  if (reader.take('!')) {
    const key = readKey(reader)
    return (labels) => !Object.hasOwn(labels, key)
  }
  const key = readKey(reader)
  const operator = Object.keys(comparisons).find(reader.take)
  const read = comparisons[operator ?? '']
  return read === undefined ? (labels) => Object.hasOwn(labels, key) : read(reader, key)
}

function readEqual(reader: Reader, key: string): Requirement {
  const value = reader.isBefore(',') ? '' : readValue(reader)
  return (labels) => Object.hasOwn(labels, key) && labels[key] === value
}

/** Empty values are values: `()` and `(,)` hold one. */
function readIncluded(reader: Reader, key: string): Requirement {
  if (!reader.take('(')) reader.fail('"("')
  const values = new Set<string>()
  do values.add(reader.isBefore(',') || reader.isBefore(')') ? '' : readValue(reader))
  while (reader.take(','))
  if (!reader.take(')')) reader.fail('"," or ")"')
  return (labels) => Object.hasOwn(labels, key) && values.has(labels[key] ?? '')
}

function negate(requirement: Requirement): Requirement {
  return (labels) => !requirement(labels)
}

function compare(key: string, limit: bigint, sign: 1 | -1): Requirement {
  return (labels) => {
    const value = Object.hasOwn(labels, key) ? parseInteger(labels[key] ?? '') : undefined
    return value !== undefined && (sign === 1 ? value > limit : value < limit)
  }
}

function parseInteger(text: string): bigint | undefined {
  const value = /^\d{1,63}$/.test(text) ? BigInt(text) : undefined
  return value !== undefined && value <= mostInteger ? value : undefined
}

function readKey(reader: Reader): string {
  const { text, at } = reader.takeWord('a label key')
  const [last = '', first, ...more] = text.split('/').reverse()
  const isGood = name.test(last) && (first === undefined || prefix.test(first)) && more.length === 0
  if (isGood) return text
  return reader.refuse(text, at, `a label key: ${words}, after a prefix such as "example.com/" where it has one`)
}

function readValue(reader: Reader): string {
  const { text, at } = reader.takeWord('a value')
  return name.test(text) ? text : reader.refuse(text, at, `a label value: ${words}`)
}

function readInteger(reader: Reader): bigint {
  const { text, at } = reader.takeWord('a whole number')
  return parseInteger(text) ?? reader.refuse(text, at, 'a whole number')
}

function createReader(text: string, field: string) {
  const tokens = tokenize(text)
  let next = 0
  const fail = (expected: string): never => {
    const found = tokens[next]
    throw invalid(
      field,
      found === undefined
        ? `expected ${expected} at the end of "${text}"`
        : `expected ${expected} at character ${found.at + 1}, found "${found.text}"`,
    )
  }
  return {
    fail,
    refuse(word: string, at: number, what: string): never {
      throw invalid(field, `"${word}" at character ${at + 1} is not ${what}`)
    },
    isAtEnd: () => next === tokens.length,
    /** True at the end, too. */
    isBefore: (symbol: string) => next === tokens.length || tokens[next]?.text === symbol,
    take(symbol: string): boolean {
      const isThere = tokens[next]?.text === symbol
      if (isThere) next++
      return isThere
    },
    /** `in` and `notin` are words where a key or a value is expected. */
    takeWord(expected: string): Token {
      const found = tokens[next]
      if (found === undefined || !found.isWord) return fail(expected)
      next++
      return found
    },
  }
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = []
  token.lastIndex = 0
  for (let match = token.exec(text); match !== null; match = token.exec(text)) {
    const [, symbol, word = ''] = match
    const found = symbol ?? word
    tokens.push({ text: found, isWord: symbol === undefined, at: token.lastIndex - found.length })
  }
  return tokens
}
