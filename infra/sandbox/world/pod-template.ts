import type { JsonObject, KubeObject, OwnerReference } from '../kube-object.ts'
import type { Random } from '../random.ts'

/** One application of the cluster, from which pods are stamped. */
export interface AppShape {
  name: string
  namespace: string
  image: string
  port: number
  hasSidecar: boolean
  /** `migrate`: an init container runs first. */
  hasInit: boolean
}

export const appShapes: readonly AppShape[] = [
  {
    name: 'web',
    namespace: 'shop',
    image: 'registry.example.com/shop/web',
    port: 8080,
    hasSidecar: true,
    hasInit: false,
  },
  {
    name: 'checkout',
    namespace: 'shop',
    image: 'registry.example.com/shop/checkout',
    port: 8081,
    hasSidecar: false,
    hasInit: true,
  },
  {
    name: 'catalog',
    namespace: 'shop',
    image: 'registry.example.com/shop/catalog',
    port: 9090,
    hasSidecar: false,
    hasInit: false,
  },
  {
    name: 'ledger',
    namespace: 'payments',
    image: 'registry.example.com/payments/ledger',
    port: 8443,
    hasSidecar: true,
    hasInit: true,
  },
  {
    name: 'fraud-scorer',
    namespace: 'payments',
    image: 'registry.example.com/payments/fraud-scorer',
    port: 7000,
    hasSidecar: false,
    hasInit: false,
  },
  {
    name: 'ingress',
    namespace: 'platform',
    image: 'registry.example.com/platform/ingress',
    port: 8000,
    hasSidecar: false,
    hasInit: false,
  },
]

const tokenMount = {
  name: 'kube-api-access',
  readOnly: true,
  mountPath: '/var/run/secrets/kubernetes.io/serviceaccount',
}

function environment(app: AppShape): JsonObject[] {
  return [
    { name: 'POD_NAME', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.name' } } },
    { name: 'POD_NAMESPACE', valueFrom: { fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } } },
    { name: 'DATABASE_URL', value: `postgres://${app.name}:sandbox-secret@db.${app.namespace}.svc:5432/${app.name}` },
  ]
}

function probe(path: string, port: number, delay: number): JsonObject {
  return {
    httpGet: { path, port, scheme: 'HTTP' },
    initialDelaySeconds: delay,
    timeoutSeconds: 1,
    periodSeconds: 10,
    successThreshold: 1,
    failureThreshold: 3,
  }
}

const quantities = {
  requests: { cpu: '100m', memory: '128Mi' },
  limits: { cpu: '500m', memory: '256Mi' },
}

const locked = { runAsNonRoot: true, allowPrivilegeEscalation: false }

function mainContainer(app: AppShape, version: number): JsonObject {
  return {
    name: app.name,
    image: `${app.image}:1.${version}.0`,
    args: [`--listen=:${app.port}`, '--shutdown-timeout=20s'],
    ports: [{ name: 'http', containerPort: app.port, protocol: 'TCP' }],
    env: environment(app),
    resources: quantities,
    volumeMounts: [tokenMount],
    readinessProbe: probe('/readyz', app.port, 2),
    securityContext: locked,
  }
}

/** A pod of an application, in the shape that the cluster's own controllers create (about 5 to 7 KB once it runs). */
export function stampPod(app: AppShape, version: number, hash: string, owner: OwnerReference): Partial<KubeObject> {
  const sidecar: JsonObject = {
    name: 'proxy',
    image: 'registry.example.com/platform/proxy:2.9.1',
    resources: { requests: { cpu: '10m', memory: '40Mi' } },
    volumeMounts: [tokenMount],
  }
  const init: JsonObject = {
    name: 'migrate',
    image: `${app.image}:1.${version}.0`,
    command: ['/app/migrate', 'up'],
    resources: {},
    volumeMounts: [tokenMount],
  }
  return {
    metadata: {
      generateName: `${owner.name}-`,
      labels: {
        app: app.name,
        'app.kubernetes.io/part-of': app.namespace,
        'app.kubernetes.io/version': `1.${version}.0`,
        'pod-template-hash': hash,
      },
      annotations: {
        'prometheus.io/port': String(app.port + 1000),
        'prometheus.io/scrape': 'true',
      },
      ownerReferences: [owner],
    },
    spec: {
      volumes: [
        {
          name: 'kube-api-access',
          projected: {
            sources: [
              { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
              { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
              {
                downwardAPI: {
                  items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
                },
              },
            ],
            defaultMode: 420,
          },
        },
      ],
      ...(app.hasInit ? { initContainers: [init] } : {}),
      containers: [mainContainer(app, version), ...(app.hasSidecar ? [sidecar] : [])],
      serviceAccountName: 'default',
      serviceAccount: 'default',
      securityContext: { fsGroup: 2000, runAsUser: 1000 },
    },
  }
}

/** A ReplicaSet's name and hash for a revision of an application. */
export function nameRevision(app: AppShape, random: Random): { hash: string; owner: OwnerReference } {
  const hash = random.suffix(10)
  return {
    hash,
    owner: {
      apiVersion: 'apps/v1',
      kind: 'ReplicaSet',
      name: `${app.name}-${hash}`,
      uid: random.uuid(),
      controller: true,
      blockOwnerDeletion: true,
    },
  }
}
