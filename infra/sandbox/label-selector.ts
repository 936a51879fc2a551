import { badRequest } from './status.ts'

/** Decides by labels. */
export type LabelMatcher = (labels: Readonly<Record<string, string>>) => boolean

interface Token {
  kind: 'identifier' | 'symbol' | 'word' | 'end'
  text: string
}

const binaryOperators = ['in', 'notin', '=', '==', '!=', 'gt', 'lt']
const symbol = /^(?:==|!=|[=!<>(),])/
const identifier = /^[^\s=!<>(),]+/

function scan(source: string): Token[] {
  const tokens: Token[] = []
  let rest = source.trimStart()
  while (rest !== '') {
    const found = symbol.exec(rest)?.[0] ?? identifier.exec(rest)?.[0] ?? ''
    if (symbol.test(rest)) tokens.push({ kind: 'symbol', text: found })
    else tokens.push({ kind: found === 'in' || found === 'notin' ? 'word' : 'identifier', text: found })
    rest = rest.slice(found.length).trimStart()
  }
  tokens.push({ kind: 'end', text: '' })
  return tokens
}

const namePart = /^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$/
const subdomain = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/
const nameHelp =
  "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
const valueHelp =
  "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
const prefixHelp =
  "prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"

/** What is wrong with a label key, or nothing. Source: apimachinery `validation.IsQualifiedName`. */
export function complainAboutLabelKey(key: string): string | undefined {
  const parts = key.split('/')
  if (parts.length > 2) {
    return `a qualified name must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')`
  }
  const [prefix, name] = parts.length === 2 ? [parts[0], parts[1]] : [undefined, parts[0]]
  if (prefix === '') return 'prefix part must be non-empty'
  if (prefix !== undefined && !subdomain.test(prefix)) return prefixHelp
  if (name === undefined || name === '') return 'name part must be non-empty'
  if (name.length > 63) return 'name part must be no more than 63 bytes'
  return namePart.test(name) ? undefined : nameHelp
}

/** What is wrong with a label value, or nothing. Source: apimachinery `validation.IsValidLabelValue`. */
export function complainAboutLabelValue(value: string): string | undefined {
  if (value.length > 63) return 'must be no more than 63 bytes'
  return value === '' || namePart.test(value) ? undefined : valueHelp
}

interface Requirement {
  key: string
  operator: string
  values: Set<string>
}

// The grammar and its complaints: apimachinery `pkg/labels/selector.go`. The errors name what was found, as there.
function createParser(tokens: Token[]) {
  let position = 0
  const look = (): Token => tokens[position] ?? { kind: 'end', text: '' }
  const take = (): Token => {
    const token = look()
    position++
    return token
  }
  const isValue = (token: Token) => token.kind === 'identifier' || token.kind === 'word'
  const fail = (message: string): never => {
    throw badRequest(message)
  }
  const requirementFailed = (message: string): never => fail(`unable to parse requirement: ${message}`)

  function readList(): Set<string> {
    const open = take()
    if (open.text !== '(') requirementFailed(`found '${open.text}' expected: '('`)
    const values = new Set<string>()
    let expectValue = true
    for (;;) {
      const token = take()
      if (token.text === ')') {
        if (expectValue) values.add('')
        return values
      }
      if (token.text === ',') {
        if (expectValue) values.add('')
        expectValue = true
        continue
      }
      if (!isValue(token) || !expectValue) {
        requirementFailed(`found '${token.text}', expected: ${expectValue ? "',', ')' or identifier" : "',' or ')'"}`)
      }
      values.add(token.text)
      expectValue = false
    }
  }

  function readExact(): Set<string> {
    const token = look()
    if (token.kind === 'end' || token.text === ',') return new Set([''])
    take()
    if (!isValue(token)) requirementFailed(`found '${token.text}', expected: identifier`)
    return new Set([token.text])
  }

  function check(requirement: Requirement): Requirement {
    for (const [index, value] of [...requirement.values].sort().entries()) {
      const complaint = complainAboutLabelValue(value)
      if (complaint !== undefined) {
        requirementFailed(`values[${index}][${requirement.key}]: Invalid value: ${JSON.stringify(value)}: ${complaint}`)
      }
      if ((requirement.operator === '>' || requirement.operator === '<') && !/^-?\d+$/.test(value)) {
        requirementFailed(
          `values[${index}]: Invalid value: ${JSON.stringify(value)}: for 'Gt', 'Lt' operators, the value must be an integer`,
        )
      }
    }
    return requirement
  }

  function readRequirement(): Requirement {
    let operator = ''
    let token = take()
    if (token.text === '!') {
      operator = '!'
      token = take()
    }
    if (!isValue(token)) requirementFailed(`found '${token.text}', expected: identifier`)
    const key = token.text
    const complaint = complainAboutLabelKey(key)
    if (complaint !== undefined) requirementFailed(`<nil>: Invalid value: ${JSON.stringify(key)}: ${complaint}`)
    if (look().kind === 'end' || look().text === ',') {
      return { key, operator: operator === '!' ? '!' : 'exists', values: new Set() }
    }
    // "!key" ends the requirement: what follows is for the caller to refuse.
    if (operator === '!') return { key, operator, values: new Set() }
    const sign = take()
    if (sign.text === 'in' || sign.text === 'notin') return check({ key, operator: sign.text, values: readList() })
    if (['=', '==', '!=', '>', '<'].includes(sign.text)) return check({ key, operator: sign.text, values: readExact() })
    return requirementFailed(`found '${sign.text}', expected: ${binaryOperators.join(', ')}`)
  }

  return function readAll(): Requirement[] {
    const requirements: Requirement[] = []
    for (;;) {
      const token = look()
      if (token.kind === 'end') return requirements
      if (!isValue(token) && token.text !== '!') {
        fail(`found '${token.text}', expected: !, identifier, or 'end of string'`)
      }
      requirements.push(readRequirement())
      const next = take()
      if (next.kind === 'end') return requirements
      if (next.text !== ',') fail(`found '${next.text}', expected: ',' or 'end of string'`)
      const after = look()
      if (!isValue(after) && after.text !== '!') fail(`found '${after.text}', expected: identifier after ','`)
    }
  }
}

function holds({ key, operator, values }: Requirement, labels: Readonly<Record<string, string>>): boolean {
  const value = labels[key]
  switch (operator) {
    case 'exists':
      return value !== undefined
    case '!':
      return value === undefined
    case '=':
    case '==':
    case 'in':
      return value !== undefined && values.has(value)
    case '!=':
    case 'notin':
      return value === undefined || !values.has(value)
    default: {
      if (value === undefined || !/^-?\d+$/.test(value)) return false
      const bound = BigInt([...values][0] ?? '0')
      return operator === '>' ? BigInt(value) > bound : BigInt(value) < bound
    }
  }
}

/** Parses a label selector. @throws ApiError 400 with the real server's wording. */
export function parseLabelSelector(source: string): LabelMatcher {
  const requirements = createParser(scan(source))()
  return (labels) => requirements.every((requirement) => holds(requirement, labels))
}
