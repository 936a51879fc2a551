/** What distinguishes one private Redis server from another. */
export interface ServerSettings {
  readonly port: number
  /** Absolute path of the folder that holds the data, the log and the configuration. */
  readonly folder: string
  readonly password: string
  /** When appended commands reach the disk. Default `everysec`: a crash of the machine costs one second at most. */
  readonly appendfsync?: 'always' | 'everysec' | 'no'
}

/** The text of redis.conf; also understood by Valkey. */
export function renderSettings({ port, folder, password, appendfsync = 'everysec' }: ServerSettings): string {
  const lines: [name: string, value: string][] = [
    ['bind', '127.0.0.1'],
    ['protected-mode', 'yes'],
    ['port', String(port)],
    ['requirepass', password],
    ['dir', quote(folder)],
    ['pidfile', quote(`${folder}/redis.pid`)],
    ['logfile', quote(`${folder}/redis.log`)],
    ['daemonize', 'no'],
    ['appendonly', 'yes'],
    ['appendfsync', appendfsync],
    // The append-only file is the one copy; a snapshot beside it would only cost a fork.
    ['save', '""'],
    // An evicted key would be a silent hole in the log; a refused write is an error that someone sees.
    ['maxmemory-policy', 'noeviction'],
  ]
  return `${lines.map((line) => line.join(' ')).join('\n')}\n`
}

function quote(value: string): string {
  return `"${value.replace(/["\\]/g, '\\$&')}"`
}
