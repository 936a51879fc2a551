import { humanDuration } from './duration.ts'
import { type KubeObject, objectAt, objectsIn, text } from './kube-object.ts'
import { printPod } from './pod-printer.ts'

/** `metav1.TableColumnDefinition`. */
interface Column {
  name: string
  type: string
  format: string
  description: string
  priority: number
}

/** How a kind looks as a Table: its columns and the cells of one object at `now` (milliseconds). */
export interface TableShape {
  columns: readonly Column[]
  cells(object: KubeObject, now: number): unknown[]
}

const nameHelp =
  'Name must be unique within a namespace. Is required when creating resources, although some resources may allow a client to request the generation of an appropriate name automatically. Name is primarily intended for creation idempotence and configuration definition. Cannot be updated. More info: https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names'
const ageHelp =
  'CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed to be set in happens-before order across separate operations. Clients may not set this value. It is represented in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata'

function column(name: string, description: string, priority = 0): Column {
  return { name, type: 'string', format: '', description, priority }
}

const nameColumn: Column = { ...column('Name', nameHelp), format: 'name' }
const ageColumn = column('Age', ageHelp)

/** How long ago an RFC 3339 time was. */
function age(time: unknown, now: number): string {
  const at = Date.parse(text(time))
  return Number.isNaN(at) ? '<unknown>' : humanDuration(now - at)
}

function shape(columns: Column[], cells: (object: KubeObject, age: string, now: number) => unknown[]): TableShape {
  return {
    columns: [nameColumn, ...columns],
    cells: (object, now) => [
      object.metadata.name ?? '',
      ...cells(object, age(object.metadata.creationTimestamp, now), now),
    ],
  }
}

const none = '<none>'
const orNone = (value: unknown) => (text(value) === '' ? none : text(value))

function subjects(object: KubeObject, kind: string): string {
  return objectsIn(object.subjects)
    .filter((subject) => subject.kind === kind)
    .map((subject) =>
      kind === 'ServiceAccount' ? `${text(subject.namespace)}/${text(subject.name)}` : text(subject.name),
    )
    .join(', ')
}

const bindingShape = shape(
  [
    column(
      'Role',
      'RoleRef can reference a Role in the current namespace or a ClusterRole in the global namespace. If the RoleRef cannot be resolved, the Authorizer must return an error. This field is immutable.',
    ),
    ageColumn,
    column('Users', 'Users in the roleBinding', 1),
    column('Groups', 'Groups in the roleBinding', 1),
    column('ServiceAccounts', 'ServiceAccounts in the roleBinding', 1),
  ],
  (object, aged) => {
    const ref = objectAt(object, 'roleRef')
    return [
      `${text(ref.kind)}/${text(ref.name)}`,
      aged,
      subjects(object, 'User'),
      subjects(object, 'Group'),
      subjects(object, 'ServiceAccount'),
    ]
  },
)

const roleShape = shape([column('Created At', ageHelp)], (object) => [text(object.metadata.creationTimestamp)])

function nodeStatus(node: KubeObject): string {
  const ready = objectsIn(objectAt(node, 'status').conditions).find((condition) => condition.type === 'Ready')
  const words = [ready === undefined ? 'Unknown' : ready.status === 'True' ? 'Ready' : 'NotReady']
  if (objectAt(node, 'spec').unschedulable === true) words.push('SchedulingDisabled')
  return words.join(',')
}

function nodeRoles(node: KubeObject): string {
  const prefix = 'node-role.kubernetes.io/'
  const roles = Object.keys(node.metadata.labels ?? {}).filter((label) => label.startsWith(prefix))
  return roles.length === 0
    ? none
    : roles
        .map((label) => label.slice(prefix.length))
        .sort()
        .join(',')
}

function nodeAddress(node: KubeObject, type: string): string {
  return orNone(objectsIn(objectAt(node, 'status').addresses).find((address) => address.type === type)?.address)
}

const shapes: Record<string, TableShape> = {
  Pod: shape(
    [
      column('Ready', 'The aggregate readiness state of this pod for accepting traffic.'),
      column('Status', 'The aggregate status of the containers in this pod.'),
      column(
        'Restarts',
        'The number of times the containers in this pod have been restarted and when the last container in this pod has restarted.',
      ),
      ageColumn,
      column(
        'IP',
        'podIP address allocated to the pod. Routable at least within the cluster. Empty if not yet allocated.',
        1,
      ),
      column(
        'Node',
        'NodeName indicates in which node this pod is scheduled. If empty, this pod is a candidate for scheduling by the scheduler defined in schedulerName. Once this field is set, the kubelet for this node becomes responsible for the lifecycle of this pod. This field should not be used to express a desire for the pod to be scheduled on a specific node. https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/#nodename',
        1,
      ),
      column(
        'Nominated Node',
        'nominatedNodeName is set only when this pod preempts other pods on the node, but it cannot be scheduled right away as preemption victims receive their graceful termination periods. This field does not guarantee that the pod will be scheduled on this node. Scheduler may decide to place the pod elsewhere if other nodes become available sooner. Scheduler may also decide to give the resources on this node to a higher priority pod that is created after preemption. As a result, this field may be different than PodSpec.nodeName when the pod is scheduled.',
        1,
      ),
      column(
        'Readiness Gates',
        'If specified, all readiness gates will be evaluated for pod readiness. A pod is ready when all its containers are ready AND all conditions specified in the readiness gates have status equal to "True" More info: https://git.k8s.io/enhancements/keps/sig-network/580-pod-readiness-gates',
        1,
      ),
    ],
    (pod, aged, now) => {
      const printed = printPod(pod, now)
      const spec = objectAt(pod, 'spec')
      const status = objectAt(pod, 'status')
      const podIp = objectsIn(status.podIPs)[0]?.ip ?? status.podIP
      const gates = objectsIn(spec.readinessGates)
      const conditions = objectsIn(status.conditions)
      const open = gates.filter((gate) =>
        conditions.some((condition) => condition.type === gate.conditionType && condition.status === 'True'),
      )
      return [
        printed.ready,
        printed.status,
        printed.restarts,
        aged,
        orNone(podIp),
        orNone(spec.nodeName),
        orNone(status.nominatedNodeName),
        gates.length === 0 ? none : `${open.length}/${gates.length}`,
      ]
    },
  ),
  Lease: shape(
    [
      column(
        'Holder',
        'holderIdentity contains the identity of the holder of a current lease. If Coordinated Leader Election is used, the holder identity must be equal to the elected LeaseCandidate.metadata.name field.',
      ),
      ageColumn,
    ],
    (lease, aged) => [text(objectAt(lease, 'spec').holderIdentity), aged],
  ),
  Namespace: shape([column('Status', 'The status of the namespace'), ageColumn], (namespace, aged) => [
    text(objectAt(namespace, 'status').phase),
    aged,
  ]),
  Node: shape(
    [
      column('Status', 'The status of the node'),
      column('Roles', 'The roles of the node'),
      ageColumn,
      column('Version', 'Kubelet Version reported by the node.'),
      column('Internal-IP', 'List of addresses reachable to the node.', 1),
      column('External-IP', 'List of addresses reachable to the node.', 1),
      column('OS-Image', 'OS Image reported by the node from /etc/os-release (e.g. Debian GNU/Linux 7 (wheezy)).', 1),
      column('Kernel-Version', "Kernel Version reported by the node from 'uname -r' (e.g. 3.16.0-0.bpo.4-amd64).", 1),
      column(
        'Container-Runtime',
        'ContainerRuntime Version reported by the node through runtime remote API (e.g. containerd://1.4.2).',
        1,
      ),
    ],
    (node, aged) => {
      const info = objectAt(node, 'status', 'nodeInfo')
      return [
        nodeStatus(node),
        nodeRoles(node),
        aged,
        text(info.kubeletVersion),
        nodeAddress(node, 'InternalIP'),
        nodeAddress(node, 'ExternalIP'),
        text(info.osImage) || '<unknown>',
        text(info.kernelVersion) || '<unknown>',
        text(info.containerRuntimeVersion) || '<unknown>',
      ]
    },
  ),
  RoleBinding: bindingShape,
  ClusterRoleBinding: bindingShape,
  Role: roleShape,
  ClusterRole: roleShape,
  ServiceAccount: shape([column('Secrets', 'Secrets is the list of secrets'), ageColumn], (account, aged) => [
    String(objectsIn(account.secrets).length),
    aged,
  ]),
  ConfigMap: shape([column('Data', 'Data contains the configuration data.'), ageColumn], (map, aged) => [
    String(Object.keys(objectAt(map, 'data')).length),
    aged,
  ]),
  Event: {
    columns: [
      column('Last Seen', 'The time at which the most recent occurrence of this event was recorded.'),
      column('Type', 'Type of this event (Normal, Warning), new types could be added in the future'),
      column(
        'Reason',
        "This should be a short, machine understandable string that gives the reason for the transition into the object's current status.",
      ),
      column('Object', 'The object that this event is about.'),
      column('Subobject', 'fieldPath', 1),
      column('Source', 'The component reporting this event.', 1),
      column('Message', 'A human-readable description of the status of this operation.'),
      column('First Seen', 'The time at which the event was first recorded.', 1),
      column('Count', 'The number of times this event has occurred.', 1),
      { ...nameColumn, priority: 1 },
    ],
    cells: (event, now) => {
      const about = objectAt(event, 'involvedObject')
      return [
        age(event.lastTimestamp, now),
        text(event.type),
        text(event.reason),
        `${text(about.kind).toLowerCase()}/${text(about.name)}`,
        text(about.fieldPath),
        text(objectAt(event, 'source').component),
        text(event.message).trim(),
        age(event.firstTimestamp, now),
        String(event.count ?? 1),
        event.metadata.name ?? '',
      ]
    },
  },
}

/** The Table shape of a kind; kinds without one of their own print a name and an age, as custom resources do. */
export function columnsOf(kind: string): TableShape {
  return shapes[kind] ?? shape([ageColumn], (_object, aged) => [aged])
}
