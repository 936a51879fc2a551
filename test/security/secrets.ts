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
