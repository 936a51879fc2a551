import { readFile } from 'node:fs/promises'

/** Which system this is, as far as installing a package goes. */
export interface Distribution {
  /** `debian`, `fedora`, `darwin` and so on. */
  readonly id: string
  /** Families that it belongs to, itself included. */
  readonly like: readonly string[]
  /** `12`, or `rolling` where releases have no number. */
  readonly version: string
}

export async function readDistribution(platform: string): Promise<Distribution> {
  if (platform !== 'linux') return { id: platform, like: [platform], version: '' }
  return parseDistribution(await readFile('/etc/os-release', 'utf8').catch(() => ''))
}

/** Reads the text of /etc/os-release (os-release(5)). */
export function parseDistribution(text: string): Distribution {
  const value = (name: string) => new RegExp(`^${name}=["']?([^"'\\n]*)`, 'm').exec(text)?.[1] ?? ''
  const id = value('ID') || 'linux'
  const like = [id, ...value('ID_LIKE').split(' ').filter(Boolean)]
  return { id, like, version: value('VERSION_ID') || value('VERSION_CODENAME') || 'rolling' }
}

const lines: readonly (readonly [family: string, line: string])[] = [
  ['debian', 'sudo apt-get install -y redis-server'],
  ['ubuntu', 'sudo apt-get install -y redis-server'],
  ['fedora', 'sudo dnf install -y valkey'],
  ['rhel', 'sudo dnf install -y valkey'],
  ['alpine', 'sudo apk add valkey'],
  ['arch', 'sudo pacman -S --noconfirm valkey'],
  ['suse', 'sudo zypper install -y redis'],
  ['opensuse', 'sudo zypper install -y redis'],
  ['darwin', 'brew install redis'],
]

/** The one command that installs a server here; undefined on a system that we do not know. */
export function suggestInstall({ like }: Distribution): string | undefined {
  return lines.find(([family]) => like.includes(family))?.[1]
}
