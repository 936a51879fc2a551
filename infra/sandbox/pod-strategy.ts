import {
  isObject,
  type Json,
  type JsonObject,
  type KubeObject,
  objectAt,
  objectsIn,
  sameJson,
  text,
} from './kube-object.ts'
import type { FieldError } from './status.ts'

// Defaults: kubernetes `pkg/apis/core/v1/defaults.go`; admission: DefaultTolerationSeconds and Priority.

function pullPolicy(image: string): string {
  const tag = image.slice(image.lastIndexOf('/') + 1)
  return image.includes('@') || (tag.includes(':') && !tag.endsWith(':latest')) ? 'IfNotPresent' : 'Always'
}

function defaultContainer(container: JsonObject): JsonObject {
  const ports = objectsIn(container.ports).map((port) => ({ protocol: 'TCP', ...port }))
  return {
    resources: {},
    terminationMessagePath: '/dev/termination-log',
    terminationMessagePolicy: 'File',
    imagePullPolicy: pullPolicy(text(container.image)),
    ...container,
    ...(ports.length === 0 ? {} : { ports }),
  }
}

function defaultContainers(spec: JsonObject, key: string): JsonObject {
  return Array.isArray(spec[key]) ? { [key]: objectsIn(spec[key]).map(defaultContainer) } : {}
}

/** Fills in what the API machinery defaults, before anyone owns a field. */
export function defaultPod(pod: KubeObject): KubeObject {
  const spec = objectAt(pod, 'spec')
  return {
    ...pod,
    spec: {
      restartPolicy: 'Always',
      terminationGracePeriodSeconds: 30,
      dnsPolicy: 'ClusterFirst',
      securityContext: {},
      schedulerName: 'default-scheduler',
      enableServiceLinks: true,
      ...(text(spec.serviceAccountName) === '' ? {} : { serviceAccount: spec.serviceAccountName ?? '' }),
      ...spec,
      ...defaultContainers(spec, 'initContainers'),
      ...defaultContainers(spec, 'containers'),
    },
  }
}

function hasRequests(container: JsonObject): boolean {
  const resources = objectAt(container, 'resources')
  return Object.keys(objectAt(resources, 'requests')).length + Object.keys(objectAt(resources, 'limits')).length > 0
}

function isGuaranteed(container: JsonObject): boolean {
  const { requests, limits } = objectAt(container, 'resources')
  return (
    isObject(limits) && 'cpu' in limits && 'memory' in limits && (requests === undefined || sameJson(requests, limits))
  )
}

function qosClass(spec: JsonObject): string {
  const containers = [...objectsIn(spec.containers), ...objectsIn(spec.initContainers)]
  if (!containers.some(hasRequests)) return 'BestEffort'
  return containers.every(isGuaranteed) ? 'Guaranteed' : 'Burstable'
}

/** What admission plugins add after ownership is settled, and the status that every new pod starts with. */
export function admitPod(pod: KubeObject): KubeObject {
  const spec = objectAt(pod, 'spec')
  const tolerations = objectsIn(spec.tolerations)
  for (const key of ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable']) {
    if (!tolerations.some((toleration) => toleration.key === key)) {
      tolerations.push({ key, operator: 'Exists', effect: 'NoExecute', tolerationSeconds: 300 })
    }
  }
  const gated = objectsIn(spec.schedulingGates).length > 0
  return {
    ...pod,
    spec: {
      ...spec,
      tolerations,
      priority: spec.priority ?? 0,
      preemptionPolicy: spec.preemptionPolicy ?? 'PreemptLowerPriority',
    },
    status: {
      phase: 'Pending',
      ...(gated
        ? {
            conditions: [
              {
                type: 'PodScheduled',
                observedGeneration: 1,
                status: 'False',
                lastProbeTime: null,
                lastTransitionTime: pod.metadata.creationTimestamp ?? null,
                reason: 'SchedulingGated',
                message: 'Scheduling is blocked due to non-empty scheduling gates',
              },
            ],
          }
        : {}),
      qosClass: qosClass(spec),
    },
  }
}

function normalizeContainerStatus(status: JsonObject): JsonObject {
  return { name: '', state: {}, lastState: {}, ready: false, restartCount: 0, image: '', imageID: '', ...status }
}

/** Gives a written status the zero values that Go's structs always marshal. */
export function normalizePodStatus(pod: KubeObject): KubeObject {
  const status: JsonObject = { ...objectAt(pod, 'status') }
  for (const key of ['containerStatuses', 'initContainerStatuses', 'ephemeralContainerStatuses']) {
    if (Array.isArray(status[key])) status[key] = objectsIn(status[key]).map(normalizeContainerStatus)
  }
  if (Array.isArray(status.conditions)) {
    status.conditions = objectsIn(status.conditions).map((condition) => ({
      lastProbeTime: null,
      lastTransitionTime: null,
      ...condition,
    }))
  }
  // podIP and podIPs[0] are one field to the API, whichever was written.
  if (text(status.podIP) !== '' && !Array.isArray(status.podIPs)) status.podIPs = [{ ip: status.podIP ?? '' }]
  const first = objectsIn(status.podIPs)[0]
  if (first !== undefined && text(status.podIP) === '') status.podIP = first.ip ?? ''
  return { ...pod, status }
}

export function validatePod(pod: KubeObject): FieldError[] {
  const spec = objectAt(pod, 'spec')
  const errors: FieldError[] = []
  const containers = objectsIn(spec.containers)
  if (containers.length === 0) errors.push({ field: 'spec.containers', type: 'Required', detail: '' })
  const names = new Set<string>()
  for (const key of ['initContainers', 'containers']) {
    for (const [index, container] of objectsIn(spec[key]).entries()) {
      const field = `spec.${key}[${index}]`
      const name = text(container.name)
      if (name === '') errors.push({ field: `${field}.name`, type: 'Required', detail: '' })
      else if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name) || name.length > 63) {
        errors.push({ field: `${field}.name`, type: 'Invalid', value: name, detail: dnsLabelHelp })
      } else if (names.has(name)) errors.push({ field: `${field}.name`, type: 'Duplicate', value: name, detail: '' })
      names.add(name)
      if (text(container.image) === '') errors.push({ field: `${field}.image`, type: 'Required', detail: '' })
    }
  }
  const policy = text(spec.restartPolicy)
  if (!['Always', 'OnFailure', 'Never'].includes(policy)) {
    errors.push({
      field: 'spec.restartPolicy',
      type: 'NotSupported',
      value: policy,
      detail: 'supported values: "Always", "Never", "OnFailure"',
    })
  }
  return errors
}

export const dnsLabelHelp =
  "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"

function withoutMutable(spec: JsonObject): JsonObject {
  const {
    activeDeadlineSeconds: _deadline,
    terminationGracePeriodSeconds: _grace,
    tolerations: _tolerations,
    schedulingGates: _gates,
    ...rest
  } = spec
  const bare = (value: Json | undefined): Json => objectsIn(value).map(({ image: _image, ...container }) => container)
  return { ...rest, containers: bare(rest.containers), initContainers: bare(rest.initContainers) }
}

/** kubernetes `pkg/apis/core/validation` `ValidatePodUpdate`. */
export function validatePodUpdate(next: KubeObject, current: KubeObject): FieldError[] {
  const after = objectAt(next, 'spec')
  const before = objectAt(current, 'spec')
  const names = (spec: JsonObject) => objectsIn(spec.containers).map((container) => container.name)
  if (names(after).length !== names(before).length) {
    return [{ field: 'spec.containers', type: 'Forbidden', detail: 'pod updates may not add or remove containers' }]
  }
  const gates = new Set(objectsIn(before.schedulingGates).map((gate) => gate.name))
  const added = objectsIn(after.schedulingGates).filter((gate) => !gates.has(gate.name))
  if (added.length > 0) {
    const names = added.map((gate) => text(gate.name)).join(', ')
    return [
      {
        field: 'spec.schedulingGates',
        type: 'Forbidden',
        detail: `only deletion is allowed, but found new scheduling gate '${names}'`,
      },
    ]
  }
  // A gated pod may still be told where it may run.
  const gated = gates.size > 0
  const strip = (spec: JsonObject) => {
    const { nodeSelector: _selector, affinity: _affinity, ...rest } = withoutMutable(spec)
    return gated ? rest : withoutMutable(spec)
  }
  if (sameJson(strip(after), strip(before))) return []
  return [
    {
      field: 'spec',
      type: 'Forbidden',
      detail:
        'pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,' +
        '`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),' +
        '`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)\n',
    },
  ]
}
