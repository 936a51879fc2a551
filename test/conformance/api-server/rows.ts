import { listRows } from './list-rows.ts'
import type { Row } from './run.ts'
import { watchRows } from './watch-rows.ts'
import { writeRows } from './write-rows.ts'

/** What a reflector relies on, row by row. */
export const rows: readonly Row[] = [...listRows, ...watchRows, ...writeRows]
