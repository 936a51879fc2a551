import type { Redis } from 'ioredis'

/** A word that must not be found elsewhere, named after where it was planted. */
const canary = (place: string) => `canary-${place}`

/** All canaries in a text. */
export function findCanaries(text: string): string[] {
  return [...new Set(text.match(/canary-[a-z]+/g) ?? [])].toSorted()
}

const container = (prefix: string) => ({
  name: 'c',
  image: 'nginx',
  env: [
    { name: 'TOKEN', value: canary(`${prefix}env`) },
    { name: 'REF', valueFrom: { secretKeyRef: { name: 'credentials', key: 'token' } } },
  ],
  command: ['sh', '-c', canary(`${prefix}command`)],
  args: [`--password=${canary(`${prefix}args`)}`],
  livenessProbe: {
    httpGet: { path: '/', port: 80, httpHeaders: [{ name: 'Authorization', value: canary(`${prefix}header`) }] },
  },
  readinessProbe: { exec: { command: ['check', canary(`${prefix}probe`)] } },
  lifecycle: { preStop: { exec: { command: ['bye', canary(`${prefix}hook`)] } } },
})

/** A Pod with a secret in every place that people put secrets, and every place where they end up. */
export function plantPod(name: string, phase: string) {
  const annotations = {
    'example.com/token': canary('annotation'),
    'kubectl.kubernetes.io/last-applied-configuration': JSON.stringify({ spec: { token: canary('lastapplied') } }),
  }
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'shop',
      labels: { app: name },
      annotations,
      managedFields: [{ manager: 'm', operation: 'Update', fieldsV1: { [`f:${canary('managed')}`]: {} } }],
    },
    spec: {
      nodeName: 'node-1',
      imagePullSecrets: [{ name: canary('pullsecret') }],
      initContainers: [{ ...container('init'), name: 'i' }],
      containers: [container('')],
      ephemeralContainers: [{ ...container('ephemeral'), name: 'e' }],
      volumes: [
        { name: 'v', csi: { driver: 'd', volumeAttributes: { password: canary('volume') } } },
        { name: 'f', flexVolume: { driver: 'd', options: { password: canary('flexvolume') } } },
      ],
    },
    status: {
      phase,
      message: canary('podmessage'),
      conditions: [{ type: 'Ready', status: 'False', message: canary('condition') }],
      containerStatuses: [
        {
          name: 'c',
          ready: false,
          restartCount: 1,
          state: { waiting: { reason: 'CrashLoopBackOff', message: canary('waiting') } },
          lastState: { terminated: { exitCode: 1, reason: 'Error', message: canary('terminated') } },
        },
      ],
    },
  }
}

/** An object with values that are all secrets. */
export function plantConfigMap(name: string) {
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: { name, namespace: 'shop', annotations: { token: canary('mapannotation') } },
    data: { password: canary('mapdata') },
  }
}

const manifest = { spec: { password: canary('manifest') } }

/** Secrets where no list of fields would look for them, as charts, operators and custom resources have them. */
export const oddPlaces: Readonly<Record<string, object>> = {
  'a member that is called so': { dbPassword: canary('member') },
  'a member in capitals': { DB_PASSWD: canary('capitals') },
  'a member in one word': { mysqlrootpassword: canary('oneword') },
  'a number': { otp: { pin: 1, codes: ['canary-number'] } },
  'all that is under such a name': { credentials: { user: 'u', key: canary('under'), more: [{ x: canary('list') }] } },
  'a key of some kind': {
    apiKey: canary('apikey'),
    'client-key-data': canary('clientkey'),
    access_key: canary('access'),
  },
  'a header': { headers: { 'X-Auth': canary('header') }, customHeaders: [{ name: 'a', value: canary('custom') }] },
  'a cookie': { sessionCookie: canary('cookie') },
  'a connection string': { db: { connectionString: canary('connection'), dsn: canary('dsn') } },
  'a URL': { endpoint: `postgres://user:${canary('url')}@db:5432/shop`, cache: `redis://:${canary('redis')}@cache` },
  'the query of a URL': { callback: `https://example.com/hook?token=${canary('query')}&x=1` },
  'a webhook that posts to who knows it': { slack: { webhookURL: `https://hooks.example/${canary('webhook')}` } },
  'a pair of name and value': { parameters: [{ name: 'db.password', value: canary('pair') }] },
  'a pair of key and value': { set: [{ key: 'apiToken', value: { inner: canary('keypair') } }] },
  'an environment in a map': { environment: { ANY: canary('envmap') }, extraEnvVars: { ANY: canary('envvars') } },
  'an environment in lines': { env: [`ANY=${canary('envline')}`] },
  'an environment with more to a variable': { env: [{ name: 'A', value: 'x', default: canary('envdefault') }] },
  'a template': { podTemplate: { podAnnotations: { a: canary('template') }, extraArgs: { a: canary('extraargs') } } },
  'a script': {
    steps: [{ script: `curl -u x:${canary('script')}` }],
    workflow: { arguments: { x: canary('arguments') } },
  },
  'user data': { userData: canary('userdata'), 'user-data': canary('cloudinit') },
  'options of a mount': { mountOptions: [`username=u,password=${canary('mount')}`] },
  'parameters of a storage class': { parameters: { restuserkey: canary('storage') } },
  'JSON in a string': { valuesJson: JSON.stringify({ a: 1, password: canary('json') }) },
  'a manifest in a string': { applied: JSON.stringify(JSON.stringify(JSON.stringify(manifest))) },
  'YAML in a string': { valuesContent: `a: 1\npassword: two ${canary('yaml')}\nsecrets:\n  x: ${canary('block')}\n` },
  'a command line': { commandLine: `mysql ${canary('cmdline')}`, note2: `mysql --password ${canary('space')} db` },
  'the user of a command': { run: `curl -u admin:${canary('curl')} https://example.com` },
  'a private key in base64': { tls: { key: `${btoa('-----BEGIN EC PRIVATE KEY-----\n')}${canary('basekey')}` } },
  'a private key in a string': { tls: `-----BEGIN RSA PRIVATE KEY-----\n${canary('pem')}\n` },
  'a bearer token in a string': {
    curl: `-H 'Authorization: Bearer ${canary('bearer')}'`,
    h: `Bearer ${canary('bare')}`,
  },
  'settings in a string': {
    odbc: `Server=db;User Id=u;Password=a ${canary('odbc')};`,
    flags: `--api-key=${canary('flag')}`,
  },
  'who wrote which field': { managedFields: [{ x: canary('managed') }] },
}

/** A custom resource with all of them. */
export function plantCustom(name: string) {
  return {
    apiVersion: 'example.com/v1',
    kind: 'Widget',
    metadata: { name, namespace: 'shop' },
    spec: { size: 'large', parts: Object.values(oddPlaces), template: plantPod(name, 'Running') },
    status: { parts: Object.values(oddPlaces) },
  }
}

/** Everything that a Redis server holds, names of keys included. */
export async function dumpRedis(redis: Redis): Promise<string> {
  const parts: unknown[] = []
  for (const key of await redis.keys('*')) {
    const type = await redis.type(key)
    const readers: Record<string, () => Promise<unknown>> = {
      string: () => redis.get(key),
      hash: () => redis.hgetall(key),
      list: () => redis.lrange(key, 0, -1),
      set: () => redis.smembers(key),
      zset: () => redis.zrange(key, '0', '-1', 'WITHSCORES'),
      stream: () => redis.xrange(key, '-', '+'),
    }
    const read = readers[type]
    if (read === undefined) throw new Error(`${key} is a ${type}, which nobody looks into`)
    parts.push(key, await read())
  }
  return JSON.stringify(parts)
}
