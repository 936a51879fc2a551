import type { JsonObject } from './kube-object.ts'
import { apiVersionOf, type Resource } from './resources.ts'

// kubectl reads these documents for one thing before it writes: whether PATCH of a kind takes fieldValidation. The
// schemas are open, since this server judges objects itself.

function parameter(name: string, type: string, where = 'query'): JsonObject {
  return { name, in: where, schema: { type, uniqueItems: true }, ...(where === 'path' ? { required: true } : {}) }
}

const writeParameters = ['dryRun', 'fieldManager', 'fieldValidation', 'pretty'].map((name) => parameter(name, 'string'))

function schemaName(resource: Resource): string {
  const group = resource.group === '' ? 'core' : (resource.group.split('.')[0] ?? resource.group)
  return `io.k8s.api.${group}.${resource.version}.${resource.kind}`
}

function operation(resource: Resource, verb: string, action: string): JsonObject {
  const schema = { $ref: `#/components/schemas/${schemaName(resource)}` }
  const content = { 'application/json': { schema } }
  return {
    operationId: `${verb}${resource.kind}`,
    parameters: verb === 'get' || verb === 'list' ? [] : writeParameters,
    // Without strategic-merge-patch+json here, kubectl computes patches from the types it was built with.
    ...(verb === 'create' || verb === 'replace' || verb === 'patch'
      ? { requestBody: { content: verb === 'patch' ? { 'application/apply-patch+yaml': { schema } } : content } }
      : {}),
    responses: { 200: { description: 'OK', content } },
    'x-kubernetes-action': action,
    'x-kubernetes-group-version-kind': { group: resource.group, kind: resource.kind, version: resource.version },
  }
}

function pathsOf(resource: Resource): JsonObject {
  const base = `${resource.group === '' ? '/api' : '/apis'}/${apiVersionOf(resource)}`
  const collection = resource.namespaced
    ? `${base}/namespaces/{namespace}/${resource.plural}`
    : `${base}/${resource.plural}`
  const inPath = resource.namespaced ? [parameter('namespace', 'string', 'path')] : []
  const can = (verb: string) => resource.verbs.includes(verb)
  return {
    [collection]: {
      ...(can('list') ? { get: operation(resource, 'list', 'list') } : {}),
      ...(can('create') ? { post: operation(resource, 'create', 'post') } : {}),
      parameters: inPath,
    },
    ...(can('get')
      ? {
          [`${collection}/{name}`]: {
            get: operation(resource, 'get', 'get'),
            put: operation(resource, 'replace', 'put'),
            patch: operation(resource, 'patch', 'patch'),
            delete: operation(resource, 'delete', 'delete'),
            parameters: [...inPath, parameter('name', 'string', 'path')],
          },
        }
      : {}),
  }
}

function schemaOf(resource: Resource): JsonObject {
  return {
    type: 'object',
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object', 'x-kubernetes-preserve-unknown-fields': true },
    },
    'x-kubernetes-preserve-unknown-fields': true,
    'x-kubernetes-group-version-kind': [{ group: resource.group, kind: resource.kind, version: resource.version }],
  }
}

const info = { title: 'Kubernetes', version: 'v1.36.2' }

/** The body for a path under `/openapi`, or undefined if there is none. */
export function describeApi(resources: readonly Resource[], path: string): unknown {
  const documentOf = (row: Resource) => `${row.group === '' ? 'api' : 'apis'}/${apiVersionOf(row)}`
  if (path === '/openapi/v3') {
    const names = [...new Set(resources.map(documentOf))]
    return {
      paths: Object.fromEntries(names.map((name) => [name, { serverRelativeURL: `/openapi/v3/${name}?hash=SANDBOX` }])),
    }
  }
  if (path === '/openapi/v2') {
    return {
      swagger: '2.0',
      info,
      paths: Object.assign({}, ...resources.map(pathsOf)),
      definitions: Object.fromEntries(resources.map((row) => [schemaName(row), schemaOf(row)])),
    }
  }
  const rows = resources.filter((row) => path === `/openapi/v3/${documentOf(row)}`)
  if (rows.length === 0) return undefined
  return {
    openapi: '3.0.0',
    info,
    paths: Object.assign({}, ...rows.map(pathsOf)),
    components: { schemas: Object.fromEntries(rows.map((row) => [schemaName(row), schemaOf(row)])) },
  }
}
