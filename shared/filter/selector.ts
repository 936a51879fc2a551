import { invalid } from '../errors.ts'

type Requirement = (labels: Readonly<Record<string, string>>) => boolean

/** True for the labels that a selector picks. */
export type LabelSelector = (labels: Readonly<Record<string, string>>) => boolean

const token =
  /\s*(?:(notin\b|in\b|==|!=|=|!|\(|\)|,)|([A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?(?:\/[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?))/y

interface Token {
  text: string
  isWord: boolean
  /** Where it begins, counted in characters from 0. */
  at: number
}

/**
 * Compiles a label selector in Kubernetes' syntax: `app=web`, `tier!=db`, `env in (a,b)`, `env notin (c)`, `key`, `!key`,
 * joined by commas. As in Kubernetes, `!=` and `notin` also pick objects without the key.
 * @see https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
 * @throws RelayError `invalid`, with the character at which the text stops to make sense.
 */
export function compileLabelSelector(text: string, field = 'labelSelector'): LabelSelector {
  const tokens = tokenize(text, field)
  const requirements: Requirement[] = []
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
  const take = (symbol: string): boolean => {
    const found = tokens[next]
    if (found === undefined || found.isWord || found.text !== symbol) return false
    next++
    return true
  }
  const takeWord = (expected: string): string => {
    const found = tokens[next]
    // `in` and `notin` are words where a key or a value is expected.
    if (found === undefined || !(found.isWord || /^(not)?in$/.test(found.text))) return fail(expected)
    next++
    return found.text
  }
  const takeSet = (): Set<string> => {
    if (!take('(')) fail('"("')
    const values = new Set<string>()
    do values.add(takeValue())
    while (take(','))
    if (!take(')')) fail('"," or ")"')
    return values
  }
  const takeValue = (): string => {
    const found = tokens[next]
    const isEmpty = found === undefined || (!found.isWord && (found.text === ',' || found.text === ')'))
    return isEmpty ? '' : takeWord('a value')
  }

  while (next < tokens.length) {
    if (take('!')) {
      const key = takeWord('a label key')
      requirements.push((labels) => !Object.hasOwn(labels, key))
    } else {
      const key = takeWord('a label key')
      if (take('=') || take('==')) {
        const value = takeValue()
        requirements.push((labels) => Object.hasOwn(labels, key) && labels[key] === value)
      } else if (take('!=')) {
        const value = takeValue()
        requirements.push((labels) => !Object.hasOwn(labels, key) || labels[key] !== value)
      } else if (take('in')) {
        const values = takeSet()
        requirements.push((labels) => Object.hasOwn(labels, key) && values.has(labels[key] ?? ''))
      } else if (take('notin')) {
        const values = takeSet()
        requirements.push((labels) => !Object.hasOwn(labels, key) || !values.has(labels[key] ?? ''))
      } else {
        requirements.push((labels) => Object.hasOwn(labels, key))
      }
    }
    if (next < tokens.length && !take(',')) fail('","')
    else if (next === tokens.length && tokens.at(-1)?.text === ',') fail('a label key')
  }
  return (labels) => requirements.every((requirement) => requirement(labels))
}

function tokenize(text: string, field: string): Token[] {
  const tokens: Token[] = []
  token.lastIndex = 0
  while (text.slice(token.lastIndex).trim() !== '') {
    const at = token.lastIndex
    const match = token.exec(text)
    if (match === null) {
      const start = at + (text.slice(at).length - text.slice(at).trimStart().length)
      throw invalid(field, `cannot read "${text.slice(start, start + 10)}" at character ${start + 1}`)
    }
    const found = match[1] ?? match[2] ?? ''
    tokens.push({ text: found, isWord: match[1] === undefined, at: token.lastIndex - found.length })
  }
  return tokens
}
