import type { Change } from '../../shared/event.ts'
import type { KubeObject } from '../kube/object.ts'
import type { Normalizer } from './normalizer.ts'
import { asArray, asObject, asString } from './normalizer.ts'
import { compareObjects, type PlainData, readObject } from './object.ts'

/** Someone whom a binding gives its role to. */
export interface Subject {
  kind: string
  name: string
  namespace?: string
}

/** What the relay tells of a RoleBinding or a ClusterRoleBinding. */
export interface BindingData extends PlainData {
  roleRef: { kind: string; name: string }
  subjects: Subject[]
}

/** Turns RoleBindings and ClusterRoleBindings into events. */
export function createBindingNormalizer(kind: string): Normalizer<BindingData> {
  return {
    kind,
    read: readBinding,
    follow: (old, next) => ({ data: next, changes: compareBindings(old, next), isEvent: true }),
    end: (old, last) => ({ data: last, changes: compareBindings(old, last), isEvent: true }),
  }
}

function readBinding(object: KubeObject): BindingData {
  const roleRef = asObject(object.roleRef)
  return {
    ...readObject(object),
    roleRef: { kind: asString(roleRef.kind) ?? '', name: asString(roleRef.name) ?? '' },
    subjects: asArray(object.subjects).map((subject) => readSubject(asObject(subject))),
  }
}

function readSubject({ kind, name, namespace }: Record<string, unknown>): Subject {
  const place = asString(namespace)
  return {
    kind: asString(kind) ?? '',
    name: asString(name) ?? '',
    ...(place === undefined ? {} : { namespace: place }),
  }
}

/** For a new binding, whom it gives what; a role that changes shows only where a binding was made anew unseen. */
function compareBindings(old: BindingData | undefined, next: BindingData): Change[] {
  const changes: Change[] = []
  const from = old?.roleRef
  if (from?.kind !== next.roleRef.kind || from.name !== next.roleRef.name) {
    changes.push({ type: 'roleRef', ...(from === undefined ? {} : { from }), to: next.roleRef })
  }
  const added = without(next.subjects, old?.subjects ?? [])
  const removed = without(old?.subjects ?? [], next.subjects)
  if (added.length + removed.length > 0) changes.push({ type: 'subjects', added, removed })
  return [...changes, ...compareObjects(old, next)]
}

function without(subjects: readonly Subject[], others: readonly Subject[]): Subject[] {
  const known = new Set(others.map(keyOf))
  return subjects.filter((subject) => !known.has(keyOf(subject)))
}

function keyOf({ kind, name, namespace = '' }: Subject): string {
  return JSON.stringify([kind, namespace, name])
}
