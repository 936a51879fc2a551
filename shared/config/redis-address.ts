/** A server's place in the network. */
export interface RedisNode {
  host: string
  port: number
}

interface Login {
  username?: string
  password?: string
  tls: boolean
}

/** Where Redis is, as `REDIS_URL` says it. */
export type RedisAddress =
  | { kind: 'server'; url: string }
  | ({ kind: 'cluster'; nodes: RedisNode[] } & Login)
  /** `name` is the master's name among the sentinels; the login is the master's. */
  | ({ kind: 'sentinel'; nodes: RedisNode[]; name: string; db: number; sentinelPassword?: string } & Login)

/** For people: what `parseRedisAddress` takes. */
export const redisAddressForms = [
  'redis://[user:password@]host[:port][/database]',
  'redis+cluster://[user:password@]host:port,host:port',
  'redis+sentinel://[user:password@]host:port,host:port/master-name[/database][?sentinelPassword=…]',
  'or rediss… for TLS',
].join(', ')

const several = /^redis(s)?\+(cluster|sentinel):\/\/(?:([^@/]*)@)?([^@/?]+)(?:\/([^?]*))?(?:\?(.*))?$/i
const node = /^(?:\[([0-9a-f:.]+)\]|([^[\]:]+))(?::(\d{1,5}))?$/i

/** Reads an address; undefined when it is none. */
export function parseRedisAddress(text: string): RedisAddress | undefined {
  if (/^rediss?:\/\/[^/]/i.test(text)) return URL.canParse(text) ? { kind: 'server', url: text } : undefined
  const match = several.exec(text)
  if (match === null) return undefined
  const [, secure, kind = '', user = '', hosts = '', path = '', query = ''] = match
  const isCluster = kind.toLowerCase() === 'cluster'
  const nodes = hosts.split(',').map((host) => parseNode(host, isCluster ? 6379 : 26379))
  const login = parseLogin(user)
  const options = new URLSearchParams(query)
  const sentinelPassword = options.get('sentinelPassword')
  options.delete('sentinelPassword')
  if (login === undefined || [...options].length > 0) return undefined
  const found = { nodes: nodes.filter((place) => place !== undefined), ...login, tls: secure !== undefined }
  if (found.nodes.length < nodes.length) return undefined
  if (isCluster) return path === '' && query === '' ? { kind: 'cluster', ...found } : undefined
  const [, name, db = '0'] = /^([\w.-]+)(?:\/(\d{1,3}))?$/.exec(path) ?? []
  if (name === undefined) return undefined
  return {
    kind: 'sentinel',
    ...found,
    name,
    db: Number(db),
    ...(sentinelPassword === null ? {} : { sentinelPassword }),
  }
}

/** Hides the passwords in an address, well-formed or not. */
export function maskRedisAddress(text: string): string {
  return text.replace(/^([\w+]+:\/\/)?.*@/, '$1***@').replace(/([?&]\w*password=)[^&]*/gi, '$1***')
}

function parseNode(text: string, defaultPort: number): RedisNode | undefined {
  const [, literal, name, port = defaultPort] = node.exec(text.trim()) ?? []
  const host = literal ?? name
  return host === undefined || Number(port) > 65_535 ? undefined : { host, port: Number(port) }
}

/** `user:password`, both percent-encoded where they hold what would end them. */
function parseLogin(text: string): Pick<Login, 'username' | 'password'> | undefined {
  const colon = text.indexOf(':')
  const [user, password] = colon === -1 ? [text, ''] : [text.slice(0, colon), text.slice(colon + 1)]
  try {
    return {
      ...(user === '' ? {} : { username: decodeURIComponent(user) }),
      ...(password === '' ? {} : { password: decodeURIComponent(password) }),
    }
  } catch {
    // A percent sign that encodes nothing.
    return undefined
  }
}
