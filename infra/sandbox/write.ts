import { type Clock, timestamp } from './clock.ts'
import { arrangeFields } from './field-order.ts'
import { type KubeObject, type ObjectMeta, sameJson } from './kube-object.ts'
import { manageFields } from './managed-fields.ts'
import type { Random } from './random.ts'
import { apiVersionOf, type Resource } from './resources.ts'
import {
  alreadyExists,
  badRequest,
  conflict,
  type FieldError,
  forbidden,
  invalid,
  notFound,
  staleMessage,
} from './status.ts'
import type { Store } from './store.ts'
import { strategyOf, validateMetadata } from './strategies.ts'

export interface WriteOptions {
  /** Answer as if, store nothing. */
  dryRun?: boolean
  /** Who owns the written fields; empty: nobody, as with a Binding. */
  manager?: string
  /** `''` or `status`. */
  subresource?: string
  operation?: 'Apply' | 'Update'
}

/** Checked writes: what the real server's registry does between the HTTP handler and etcd. */
export interface Writer {
  /** @throws ApiError 400, 403, 404 (no such namespace), 409 or 422. */
  create(resource: Resource, namespace: string, given: Partial<KubeObject>, options?: WriteOptions): KubeObject
  /** Replaces by what `change` makes of the current state; nothing is committed if nothing changes. */
  update(
    resource: Resource,
    namespace: string,
    name: string,
    change: (current: KubeObject) => KubeObject,
    options?: WriteOptions,
  ): KubeObject
}

function checkIdentity(resource: Resource, namespace: string, given: Partial<KubeObject>): void {
  const apiVersion = apiVersionOf(resource)
  if ((given.kind ?? resource.kind) !== resource.kind || (given.apiVersion ?? apiVersion) !== apiVersion) {
    const kind = given.kind ?? ''
    const version = given.apiVersion ?? ''
    throw badRequest(
      version === apiVersion
        ? `${kind} in version "${resource.version}" cannot be handled as a ${resource.kind}: converting (${version}.${kind}) to (${apiVersion}.${resource.kind}): unknown conversion`
        : `the API version in the data (${version}) does not match the expected API version (${apiVersion})`,
    )
  }
  const meta = given.metadata ?? {}
  if (resource.namespaced && (meta.namespace ?? '') !== '' && meta.namespace !== namespace) {
    throw badRequest('the namespace of the provided object does not match the namespace sent on the request')
  }
}

function refuse(resource: Resource, name: string, errors: FieldError[]): void {
  if (errors.length > 0) throw invalid(resource.group, resource.kind, name, errors)
}

/** Without empty maps and lists, which Go leaves out when it writes them. */
function withoutEmpty(meta: ObjectMeta): ObjectMeta {
  return Object.fromEntries(
    Object.entries(meta).filter(
      ([, value]) => typeof value !== 'object' || value === null || Object.keys(value).length > 0,
    ),
  )
}

/** A finished pod, lease, … without the parts that say when and by whom. */
function substance(object: KubeObject): unknown {
  const { managedFields: _managed, resourceVersion: _version, ...metadata } = object.metadata
  return { ...object, metadata }
}

export function createWriter(store: Store, clock: Clock, random: Random): Writer {
  function checkNamespace(resource: Resource, namespace: string, name: string): void {
    if (!resource.namespaced) return
    const found = store.get('namespaces', '', namespace)
    if (found === undefined) throw notFound({ group: '', plural: 'namespaces' }, namespace)
    if (found.metadata.deletionTimestamp !== undefined) {
      const why = `unable to create new content in namespace ${namespace} because it is being terminated`
      const error = forbidden(resource, name, why)
      const message = `namespace ${namespace} is being terminated`
      error.status.details = {
        ...error.status.details,
        causes: [{ reason: 'NamespaceTerminating', message, field: 'metadata.namespace' }],
      }
      throw error
    }
  }

  function own(
    previous: KubeObject | undefined,
    next: KubeObject,
    resource: Resource,
    options: WriteOptions,
  ): ObjectMeta {
    const { manager = '', subresource = '', operation = 'Update' } = options
    const ownership = manager === '' ? undefined : { manager, subresource, operation, time: timestamp(clock.now()) }
    const managedFields = manageFields(previous, next, resource.blank, ownership)
    const { managedFields: _old, ...metadata } = next.metadata
    return managedFields.length === 0 ? metadata : { ...metadata, managedFields }
  }

  function create(
    resource: Resource,
    namespace: string,
    given: Partial<KubeObject>,
    options: WriteOptions = {},
  ): KubeObject {
    checkIdentity(resource, namespace, given)
    const strategy = strategyOf(resource)
    const meta = given.metadata ?? {}
    const name =
      (meta.name ?? '') || ((meta.generateName ?? '') === '' ? '' : `${meta.generateName}${random.suffix(5)}`)
    if ((meta.resourceVersion ?? '') !== '')
      throw badRequest('resourceVersion should not be set on objects to be created')
    checkNamespace(resource, namespace, name)
    const { status: _status, ...rest } = given
    const draft: KubeObject = {
      ...rest,
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: {
        ...withoutEmpty(meta),
        name,
        ...(resource.namespaced ? { namespace } : {}),
        uid: random.uuid(),
        creationTimestamp: timestamp(clock.now()),
        ...(resource.counted ? { generation: 1 } : {}),
      },
    }
    for (const key of [
      'deletionTimestamp',
      'deletionGracePeriodSeconds',
      'managedFields',
      'resourceVersion',
    ] as const) {
      delete draft.metadata[key]
    }
    if (!resource.namespaced) delete draft.metadata.namespace
    const normal = strategy.normalize(draft)
    refuse(resource, name, [...validateMetadata(normal, strategy), ...strategy.validate(normal)])
    if (store.get(resource, namespace, name) !== undefined) throw alreadyExists(resource, name)
    const object = strategy.admit({ ...normal, metadata: own(undefined, normal, resource, options) })
    return options.dryRun === true ? arrangeFields(object) : store.put(resource, object)
  }

  function checkPreconditions(resource: Resource, current: KubeObject, next: KubeObject): void {
    const name = current.metadata.name ?? ''
    const { uid = '', resourceVersion = '' } = next.metadata
    if (uid !== '' && uid !== current.metadata.uid) {
      const why = `Precondition failed: UID in precondition: ${uid}, UID in object meta: ${current.metadata.uid}`
      throw conflict(
        resource,
        name,
        `StorageError: invalid object, Code: 4, Key: /registry/${resource.plural}/${current.metadata.namespace ?? ''}/${name}, ResourceVersion: 0, AdditionalErrorMsg: ${why}`,
      )
    }
    if (resourceVersion === '' || resourceVersion === '0') {
      if (strategyOf(resource).unconditionalUpdate) return
      // The real server puts the plural where the kind belongs, and prints the number as Go does.
      const error = invalid(resource.group, resource.plural, name, [
        { field: 'metadata.resourceVersion', type: 'Invalid', value: 0, detail: 'must be specified for an update' },
      ])
      error.status.message = error.status.message?.replace('Invalid value: 0:', 'Invalid value: 0x0:') ?? ''
      for (const cause of error.status.details?.causes ?? []) {
        cause.message = cause.message.replace('Invalid value: 0:', 'Invalid value: 0x0:')
      }
      throw error
    }
    if (resourceVersion !== current.metadata.resourceVersion) throw conflict(resource, name, staleMessage)
  }

  /** What the server does not let a client change, whatever it sent. */
  function keepServerSide(resource: Resource, current: KubeObject, next: KubeObject, subresource: string): KubeObject {
    const kept = withoutEmpty(next.metadata)
    for (const key of [
      'name',
      'namespace',
      'uid',
      'generateName',
      'creationTimestamp',
      'deletionTimestamp',
      'deletionGracePeriodSeconds',
      'generation',
    ] as const) {
      if (current.metadata[key] === undefined) delete kept[key]
      else Object.assign(kept, { [key]: current.metadata[key] })
    }
    delete kept.managedFields
    const hasStatus = resource.subresources.some((row) => row.name === 'status')
    if (subresource === 'status')
      return { ...current, metadata: { ...current.metadata, ...pickStatusMetadata(kept) }, status: next.status }
    if (!hasStatus) return { ...next, metadata: kept }
    const { status: _status, ...rest } = next
    return { ...rest, metadata: kept, ...(current.status === undefined ? {} : { status: current.status }) }
  }

  function pickStatusMetadata(meta: ObjectMeta): ObjectMeta {
    return {
      ...(meta.labels === undefined ? {} : { labels: meta.labels }),
      ...(meta.annotations === undefined ? {} : { annotations: meta.annotations }),
    }
  }

  function update(
    resource: Resource,
    namespace: string,
    name: string,
    change: (current: KubeObject) => KubeObject,
    options: WriteOptions = {},
  ): KubeObject {
    const strategy = strategyOf(resource)
    const current = store.get(resource, namespace, name)
    if (current === undefined) throw notFound(resource, name)
    const asked = change(current)
    checkIdentity(resource, namespace, asked)
    const askedName = asked.metadata?.name ?? ''
    if (askedName !== '' && askedName !== name) {
      throw badRequest(`the name of the object (${askedName}) does not match the name on the URL (${name})`)
    }
    checkPreconditions(resource, current, { ...asked, metadata: asked.metadata ?? {} })
    const complete = { ...asked, kind: current.kind, apiVersion: current.apiVersion, metadata: asked.metadata ?? {} }
    const next = strategy.normalize(keepServerSide(resource, current, complete, options.subresource ?? ''))
    if (sameJson(substance(arrangeFields(next)), substance(current))) return current
    refuse(resource, name, [
      ...validateMetadata(next, strategy),
      ...strategy.validate(next),
      ...strategy.validateUpdate(next, current),
    ])
    if (resource.counted && !sameJson(next.spec, current.spec) && options.manager !== '') {
      next.metadata = { ...next.metadata, generation: (current.metadata.generation ?? 0) + 1 }
    }
    const object = { ...next, metadata: own(current, next, resource, options) }
    if (options.dryRun === true) {
      return arrangeFields({
        ...object,
        metadata: { ...object.metadata, resourceVersion: current.metadata.resourceVersion ?? '' },
      })
    }
    const written = store.put(resource, object)
    // The last finalizer has gone from an object that was only waiting for it.
    const { deletionTimestamp, deletionGracePeriodSeconds, finalizers } = written.metadata
    const isWaiting = deletionTimestamp !== undefined && (deletionGracePeriodSeconds ?? 0) === 0
    if (isWaiting && (finalizers ?? []).length === 0 && (current.metadata.finalizers ?? []).length > 0) {
      store.remove(resource, namespace, name)
    }
    return written
  }

  return { create, update }
}
