import type { ASTNode } from '@marcbachmann/cel-js'
import { serialize } from '@marcbachmann/cel-js/serialize'

/**
 * Writes a part of an expression as CEL that means the same. The library's own serializer drops parentheses that matter, digits
 * of numbers and half of what is outside of Unicode's first plane; from it come only values of the other types.
 */
export function writeCel(node: ASTNode): string {
  const { op, args } = node
  switch (op) {
    case 'value':
      if (typeof args === 'string') return writeString(args)
      return typeof args === 'number' ? writeDouble(args) : serialize(node)
    case 'id':
      return args
    case '!_':
      return `(!${writeCel(args)})`
    case '-_':
      return `(-${writeCel(args)})`
    case '?:':
      return `(${writeCel(args[0])} ? ${writeCel(args[1])} : ${writeCel(args[2])})`
    case '.':
    case '.?':
      return `${writeCel(args[0])}${op}${args[1]}`
    case '[]':
      return `${writeCel(args[0])}[${writeCel(args[1])}]`
    case '[?]':
      return `${writeCel(args[0])}[?${writeCel(args[1])}]`
    case 'call':
      return `${args[0]}(${args[1].map(writeCel).join(', ')})`
    case 'rcall':
      return `${writeCel(args[1])}.${args[0]}(${args[2].map(writeCel).join(', ')})`
    case 'list':
      return `[${args.map(writeCel).join(', ')}]`
    case 'map':
      return `{${args.map(([key, value]) => `${writeCel(key)}: ${writeCel(value)}`).join(', ')}}`
    default:
      return `(${writeCel(args[0])} ${op} ${writeCel(args[1])})`
  }
}

function writeString(text: string): string {
  const escaped = text.replace(/[\\"\p{Cc}]/gu, (character) => {
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`
  })
  return `"${escaped}"`
}

function writeDouble(value: number): string {
  const text = String(value)
  const literal = /^-?\d+$/.test(text) ? `${text}.0` : text
  return value < 0 ? `(${literal})` : literal
}
