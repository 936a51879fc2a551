import ipaddr from 'ipaddr.js'
import { maskRedisAddress, parseRedisAddress, redisAddressForms } from './redis-address.ts'

/** Commands that read settings. */
export type Role = 'up' | 'watch' | 'serve' | 'deliver'

/** One row of the table of settings. */
export interface Setting<T> {
  /** The environment variable. */
  readonly name: string
  /** The command-line flag, without its dashes. */
  readonly flag: string
  /** For people: `integer`, `URL`. */
  readonly type: string
  readonly default: T
  /** For people, where the default is found at run time. */
  readonly defaultMeaning?: string
  readonly meaning: string
  readonly roles: readonly Role[]
  /** For people: `an integer from 0 to 65535`. */
  readonly allowed: string
  /** Reads a value; undefined when it is not allowed. */
  read(text: string): Exclude<T, undefined> | undefined
  /** The text that `read` would turn into this value. */
  write(value: Exclude<T, undefined>): string
  /** Hides the secret part of a value, allowed or not. */
  mask?(text: string): string
}

/** What a row says for itself; its type says the rest. */
interface Row<T> {
  readonly name: string
  readonly flag: string
  readonly default: T
  readonly defaultMeaning?: string
  readonly meaning: string
  readonly roles: readonly Role[]
}

interface TextRow<T> extends Row<T> {
  readonly allowed?: string
  readonly pattern?: RegExp
}

export function text<T extends string | undefined>(row: TextRow<T>): Setting<T | string> {
  const { pattern, allowed = 'any text', ...rest } = row
  return {
    ...rest,
    type: 'text',
    allowed,
    read: (value) => (pattern === undefined || pattern.test(value) ? value : undefined),
    write: (value) => value,
  }
}

/** A text that is never shown. */
export function secret(row: TextRow<undefined>): Setting<string | undefined> {
  return { ...text<undefined>(row), type: 'secret', mask: () => '***' }
}

export function boolean(row: Row<boolean>): Setting<boolean> {
  const words: Record<string, boolean> = {
    true: true,
    yes: true,
    on: true,
    1: true,
    false: false,
    no: false,
    off: false,
    0: false,
  }
  return {
    ...row,
    type: 'boolean',
    allowed: 'true or false',
    read: (value) => words[value.toLowerCase()],
    write: String,
  }
}

interface NumberRow<T> extends Row<T> {
  readonly min: number
  readonly max: number
  /** What is counted, such as `events per second`. */
  readonly unit?: string
}

export function integer<T extends number | undefined>(row: NumberRow<T>): Setting<T | number> {
  return number('integer', 'an integer', /^\d+$/, row)
}

export function decimal<T extends number | undefined>(row: NumberRow<T>): Setting<T | number> {
  return number('number', 'a number', /^\d+(\.\d+)?$/, row)
}

function number<T extends number | undefined>(
  type: string,
  noun: string,
  pattern: RegExp,
  { min, max, unit, ...row }: NumberRow<T>,
): Setting<T | number> {
  return {
    ...row,
    type,
    allowed: `${noun} from ${min} to ${max}${unit === undefined ? '' : ` (${unit})`}`,
    read(value) {
      const result = Number(value)
      return pattern.test(value) && result >= min && result <= max ? result : undefined
    },
    write: String,
  }
}

/** A time, in ms: `7d`, `12h`, `90s`. */
export function duration(row: NumberRow<number>): Setting<number> {
  return quantity('duration', 'a duration such as 7d, 12h, 30m or 90s', durationUnits, row)
}

/** A number of bytes: `512MiB`. */
export function size(row: NumberRow<number>): Setting<number> {
  return quantity('size', 'a size such as 512MiB or 2GiB', sizeUnits, row)
}

/** Largest first, so that a value is written in the largest unit that it is a whole number of. */
type Units = readonly (readonly [name: string, value: number])[]

const durationUnits: Units = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
]

const sizeUnits: Units = [
  ['GiB', 2 ** 30],
  ['MiB', 2 ** 20],
  ['KiB', 2 ** 10],
  ['B', 1],
]

function quantity(type: string, noun: string, units: Units, row: NumberRow<number>): Setting<number> {
  const { min, max, unit: _, ...rest } = row
  const write = (value: number) => {
    const [name, factor] = units.find(([, factor]) => value % factor === 0) ?? ['', 1]
    return `${value / factor}${name}`
  }
  return {
    ...rest,
    type,
    allowed: `${noun}, from ${write(min)} to ${write(max)}`,
    read(text) {
      const match = /^(\d+)([a-z]+)$/i.exec(text)
      const factor = units.find(([name]) => name.toLowerCase() === match?.[2]?.toLowerCase())?.[1]
      const value = factor === undefined ? Number.NaN : Number(match?.[1]) * factor
      return value >= min && value <= max ? value : undefined
    },
    write,
  }
}

export function choice<const T extends string>(choices: readonly T[], row: Row<NoInfer<T>>): Setting<T> {
  return {
    ...row,
    type: 'word',
    allowed: choices.join(', '),
    read: (value) => choices.find((word) => word === value) as Exclude<T, undefined> | undefined,
    write: (value) => value,
  }
}

/** The address of Redis: a server, a cluster, or sentinels; its passwords are secret. */
export function redisUrl(row: Row<string | undefined>): Setting<string | undefined> {
  return {
    ...row,
    type: 'URL',
    allowed: redisAddressForms,
    read: (value) => (parseRedisAddress(value) === undefined ? undefined : value),
    write: (value) => value,
    mask: maskRedisAddress,
  }
}

/** An HTTP proxy, perhaps with a user and a password, which are never shown. */
export function proxyUrl(row: Row<string | undefined>): Setting<string | undefined> {
  return {
    ...row,
    type: 'URL',
    allowed: 'an http:// or https:// address without a path, such as http://proxy.example:3128',
    read(value) {
      const url = URL.canParse(value) ? new URL(value) : undefined
      const isProxy =
        url !== undefined && /^https?:$/.test(url.protocol) && /^\/?$/.test(url.pathname + url.search + url.hash)
      return isProxy ? value : undefined
    },
    write: (value) => value,
    mask: (value) => value.replace(/\/\/.*@/, '//***@'),
  }
}

/** Origins of web pages, as browsers send them. */
export function origins(row: Row<readonly string[]>): Setting<readonly string[]> {
  return {
    ...row,
    type: 'list',
    allowed: 'origins such as https://ops.example.com, separated by commas',
    read(value) {
      const items = value.split(',').map((item) => item.trim())
      return items.every((item) => URL.canParse(item) && new URL(item).origin === item) ? items : undefined
    },
    write: (value) => value.join(','),
  }
}

export function cidrs(row: Row<readonly string[]>): Setting<readonly string[]> {
  return {
    ...row,
    type: 'list',
    allowed: 'address ranges such as 10.0.0.0/8,fd00::/8, separated by commas',
    read(value) {
      const items = value.split(',').map((item) => item.trim())
      return items.every((item) => ipaddr.isValidCIDR(item)) ? items : undefined
    },
    write: (value) => value.join(','),
  }
}
