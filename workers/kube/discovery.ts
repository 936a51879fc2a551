import type { KubeClient } from './client.ts'

/** One collection that an API server serves. */
export interface ServedResource {
  /** Empty for the core group. */
  group: string
  version: string
  resource: string
  kind: string
  isNamespaced: boolean
  verbs: readonly string[]
  /** The other names that kubectl takes. */
  aliases: readonly string[]
}

/** What the server refused to tell. */
export class DiscoveryRefused extends Error {
  override readonly name = 'DiscoveryRefused'
}

/** All of discovery in one answer for each root, since Kubernetes 1.26. */
const aggregated = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json'

const patienceMs = 10_000

interface Aggregated {
  kind?: string
  items?: {
    metadata?: { name?: string }
    versions?: {
      version?: string
      resources?: {
        resource?: string
        responseKind?: { kind?: string }
        scope?: string
        verbs?: string[]
        singularResource?: string
        shortNames?: string[]
      }[]
    }[]
  }[]
}

interface Classic {
  versions?: string[]
  groups?: { name?: string; versions?: { version?: string }[]; preferredVersion?: { version?: string } }[]
  resources?: {
    name?: string
    kind?: string
    namespaced?: boolean
    verbs?: string[]
    singularName?: string
    shortNames?: string[]
  }[]
}

/**
 * Asks an API server what it serves, in its own order of preference: the core group first, and of each group the preferred
 * version first.
 * @throws DiscoveryRefused for a 401 or 403, else the connection's error.
 */
export async function discover(client: KubeClient, signal: AbortSignal): Promise<ServedResource[]> {
  const read = (path: string) => readJson(client, path, signal)
  const [core, groups] = await Promise.all([read('/api'), read('/apis')])
  return [
    ...(isAggregated(core) ? readAggregated(core) : await readCore(core as Classic, read)),
    ...(isAggregated(groups) ? readAggregated(groups) : await readGroups(groups as Classic, read)),
  ]
}

async function readJson(client: KubeClient, path: string, signal: AbortSignal): Promise<unknown> {
  const { status, body } = await client.get(path, {}, { signal, accept: aggregated, headersMs: patienceMs })
  const text = Buffer.concat(await body.toArray()).toString('utf8')
  if (status === 401) client.renewCredentials()
  if (status === 401 || status === 403) throw new DiscoveryRefused(`${path}: HTTP ${status}`)
  // A group whose own server is down answers 503; the others go on.
  if (status !== 200 && path.split('/').length > 2) return {}
  if (status !== 200) throw new Error(`${path}: HTTP ${status}`)
  return JSON.parse(text)
}

function isAggregated(body: unknown): body is Aggregated {
  return (body as Aggregated | null)?.kind === 'APIGroupDiscoveryList'
}

function readAggregated({ items = [] }: Aggregated): ServedResource[] {
  return items.flatMap(({ metadata, versions = [] }) =>
    versions.flatMap(({ version = '', resources = [] }) =>
      resources.map((row) => ({
        group: metadata?.name ?? '',
        version,
        resource: row.resource ?? '',
        kind: row.responseKind?.kind ?? '',
        isNamespaced: row.scope === 'Namespaced',
        verbs: row.verbs ?? [],
        aliases: [row.singularResource ?? '', ...(row.shortNames ?? [])],
      })),
    ),
  )
}

type Read = (path: string) => Promise<unknown>

async function readCore({ versions = [] }: Classic, read: Read): Promise<ServedResource[]> {
  const lists = versions.map(async (version) => readVersion('', version, await read(`/api/${version}`)))
  return (await Promise.all(lists)).flat()
}

async function readGroups({ groups = [] }: Classic, read: Read): Promise<ServedResource[]> {
  const served = groups.map(async ({ name = '', versions = [], preferredVersion }) => {
    const all = versions.flatMap(({ version }) => version ?? [])
    const ordered = [...all].sort(
      (a, b) => Number(b === preferredVersion?.version) - Number(a === preferredVersion?.version),
    )
    const lists = ordered.map(async (version) => readVersion(name, version, await read(`/apis/${name}/${version}`)))
    return (await Promise.all(lists)).flat()
  })
  return (await Promise.all(served)).flat()
}

function readVersion(group: string, version: string, body: unknown): ServedResource[] {
  const { resources = [] } = body as Classic
  return resources
    .filter(({ name }) => name !== undefined && !name.includes('/'))
    .map((row) => ({
      group,
      version,
      resource: row.name ?? '',
      kind: row.kind ?? '',
      isNamespaced: row.namespaced === true,
      verbs: row.verbs ?? [],
      aliases: [row.singularName ?? '', ...(row.shortNames ?? [])],
    }))
}
