import type { Row } from './bench.ts'

const columns = (bench: string, name: string, value: string, unit: string, ratios: string) =>
  `${bench.padEnd(8)} ${name.padEnd(38)} ${value.padStart(10)} ${unit.padEnd(10)} ${ratios}`

export const heading = columns('bench', 'case', 'value', 'unit', 'ratio to')

/** A row for people. */
export function formatRow(bench: string, row: Row): string {
  const ratios = Object.entries(row.ratios).map(([peer, ratio]) => `${peer} ${ratio.toFixed(2)}×`)
  const value = row.value >= 100 ? Math.round(row.value).toLocaleString('en') : row.value.toFixed(2)
  return columns(bench, row.case, value, row.unit, ratios.join('  '))
}

/** A row for programs. */
export function formatJson(bench: string, row: Row): string {
  return JSON.stringify({ bench, ...row })
}
