import type { Config } from '../../../shared/config.ts'
import type { Cluster } from './cluster.ts'

export interface BannerFacts {
  readonly version: string
  /** Where the functions listen. */
  readonly url: string
  readonly cluster: Cluster
  /** The API server's address. */
  readonly server: string
  /** The cluster's name in events, where it differs from the found one. */
  readonly clusterName: string
  /** The sandbox's kubeconfig. */
  readonly kubeconfig?: string
  /** Without its password. */
  readonly redis: string
  readonly webhookCidrs: readonly string[]
  /** How callers are known. */
  readonly auth: Config['auth']
  /** Roles that are not ready yet. */
  readonly late: readonly string[]
}

/** What `relay up` prints when everything runs. */
export function renderBanner(facts: BannerFacts): string {
  const base = toReachable(facts.url)
  const rows: [label: string, value: string][] = [
    ['Page', `${base}/`],
    ['API', `${base}/v1  (described in ${base}/openapi.json)`],
    ['Cluster', describeCluster(facts)],
    ['Redis', facts.redis],
  ]
  if (facts.kubeconfig !== undefined) rows.push(['kubectl', `kubectl --kubeconfig=${facts.kubeconfig} get pods -A`])
  if (facts.cluster.kind === 'sandbox' && facts.webhookCidrs.length > 0) {
    rows.push(['Webhooks', `may be sent to ${facts.webhookCidrs.join(', ')} (this machine), on the sandbox only`])
  }
  if (facts.late.length > 0) rows.push(['Waiting', `for ${facts.late.join(', ')}`])
  const access = credentials[facts.auth]
  if (access !== undefined) rows.push(['Access', access])
  const curl = access === undefined ? 'curl' : 'curl -H "Authorization: Bearer $RELAY_TOKEN"'
  const webhook = '{"url":"http://127.0.0.1:9000/","filter":{"phase":["Failed"]}}'
  return [
    `kube-watch-relay ${facts.version}`,
    '',
    ...rows.map(([label, value]) => `  ${label.padEnd(10)}${value}`),
    '',
    'Three commands to try:',
    '',
    '  # every Pod and its phase, then each change as it happens',
    `  ${curl} -N '${base}/v1/events?resource=pods&from=state'`,
    '  # call a webhook when a Pod fails',
    `  ${curl} -X POST ${base}/v1/webhooks -H 'content-type: application/json' -d '${webhook}'`,
    '  # who holds which Lease',
    `  ${curl} ${base}/v1/leases`,
    '',
    'Ctrl-C ends it; what it knows stays in its data folder.',
    '',
  ].join('\n')
}

/** What callers need, by how they are known, and where it comes from. */
const credentials: Readonly<Record<Config['auth'], string | undefined>> = {
  none: undefined,
  keys: 'by API key, also on the page: export RELAY_TOKEN=$(npx relay keys create me | head -1)',
  jwt: 'by a token of the issuer, also on the page: export RELAY_TOKEN=…',
  kubernetes: 'by a token of the cluster, also on the page: export RELAY_TOKEN=$(kubectl create token NAME)',
}

function describeCluster({ cluster, clusterName, server }: BannerFacts): string {
  if (cluster.kind === 'sandbox') return `${clusterName}: the sandbox, a made-up cluster at ${server} (${cluster.why})`
  return `${clusterName}: ${server} (${cluster.why})`
}

/** An address that stands for all of a machine's is none that a client can use everywhere. */
function toReachable(url: string): string {
  return url.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
}
