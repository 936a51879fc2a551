import { describeProblems } from '../schemas/common.ts'

/** The refusals of a route, those that any route may answer included. */
export function refusals(...own: number[]) {
  return describeProblems(...new Set([400, 401, 403, 429, 503, ...own]))
}

/** Of a route that takes a body. */
export function refusalsOfBody(...own: number[]) {
  return refusals(413, 415, ...own)
}
