import type { Change, ObjectData, Owner } from '../../shared/event.ts'
import type { EndedTerm } from '../../shared/lease.ts'
import type { KubeObject } from '../kube/object.ts'

/** When and how the relay learned of a version. */
export interface Moment {
  /** The relay's own clock, ms since 1970. */
  now: number
  /** True during the first sync ever: what is there was there before us. */
  isFirstSync: boolean
}

/** What a new version of an object amounts to. */
export interface Outcome<Data extends ObjectData = ObjectData> {
  /** What is known of the object from now on. */
  data: Data
  changes: Change[]
  /** False where only the current state moves on, without an event: a Lease's renewal. */
  isEvent: boolean
  /** A Lease's term that this version ended. */
  endedTerm?: EndedTerm
  /** The holder whose term it began. */
  begunBy?: string
  /** True where the object was only touched: its lifetime goes on as it was. */
  keepsLife?: true
}

/** How objects of one resource become events. Pure, and total: no object that a server may send makes it throw. */
export interface Normalizer<Data extends ObjectData = ObjectData> {
  /** The kind in event types, lower-case: `k8s.<kind>.modified`. */
  kind: string
  /** Picks what may leave the watcher; in `kept` and `attached` what goes only one of its two ways. */
  read(object: KubeObject): Data
  /** Compares a version with the one before it; `old` is absent for an object that was not known. */
  follow(old: Data | undefined, next: Data, moment: Moment): Outcome<Data>
  /** The object is gone; `last` is its final state where the server told it, else what was known. */
  end(old: Data, last: Data, moment: Moment): Outcome<Data>
  /** For what ends by itself when nothing is heard of it: ms from the moment of observation. */
  lifetime?(data: Data): number | undefined
  /** The lifetime is over. */
  expire?(old: Data, moment: Moment): Outcome<Data>
}

/**
 * Takes apart what was read of an object: what is told and kept; `kept`, which nobody is told, for the next comparison; and
 * `attached`, fields that only the event has.
 */
export function splitData(data: ObjectData): { data: ObjectData; kept?: unknown; attached?: object } {
  if (data.kept === undefined && data.attached === undefined) return { data }
  const { kept, attached, ...told } = data
  return { data: told as ObjectData, ...(kept === undefined ? {} : { kept }), ...(attached ? { attached } : {}) }
}

/** The fields that every object has. */
export function readMeta(object: KubeObject): ObjectData {
  const meta = object.metadata ?? {}
  const data: ObjectData = {
    namespace: meta.namespace ?? '',
    name: meta.name ?? '',
    uid: meta.uid ?? '',
    resourceVersion: meta.resourceVersion ?? '',
    labels: readLabels(meta.labels),
  }
  const owner = readOwner(meta.ownerReferences)
  if (owner !== undefined) data.owner = owner
  return data
}

function readLabels(labels: unknown): Record<string, string> {
  const all = asObject(labels)
  const isText = (value: unknown) => typeof value === 'string'
  for (const key in all) {
    if (!isText(all[key])) return Object.fromEntries(Object.entries(all).filter(([, value]) => isText(value))) as never
  }
  return all as Record<string, string>
}

/** Adds the fields that are there. */
export function addPresent(data: Record<string, unknown>, optional: Record<string, unknown>): void {
  for (const name in optional) if (optional[name] !== undefined) data[name] = optional[name]
}

/** The controller, or else the first owner. */
function readOwner(references: unknown): Owner | undefined {
  const all = asArray(references).map(asObject)
  const owner = all.find((reference) => reference.controller === true) ?? all[0]
  if (owner === undefined) return undefined
  return { kind: asString(owner.kind) ?? '', name: asString(owner.name) ?? '', uid: asString(owner.uid) ?? '' }
}

function isSame(a: Record<string, string>, b: Record<string, string>): boolean {
  if (a === b) return true
  for (const key in a) if (a[key] !== b[key]) return false
  return Object.keys(a).length === Object.keys(b).length
}

/** The change of labels, with both sets whole: a reader's selector needs the old one. */
export function compareLabels(old: ObjectData, next: ObjectData): Change[] {
  return isSame(old.labels, next.labels) ? [] : [{ type: 'labels', from: old.labels, to: next.labels }]
}

export function asObject(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {}
}

export function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : []
}

export function asString(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}

export function asNumber(value: unknown): number | undefined {
  return typeof value === 'number' && Number.isFinite(value) ? value : undefined
}
