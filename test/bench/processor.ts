import { readFileSync } from 'node:fs'

/**
 * Processor time that a process has used, in µs, to the tick of 10 ms; NaN where the system has no /proc. It says what wall time
 * cannot where others use the machine too.
 */
export function readProcessorTime(pid: number): number {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, 'latin1').split(') ')[1]?.split(' ') ?? []
    // utime and stime.
    return (Number(fields[11]) + Number(fields[12])) * 10_000
  } catch {
    return Number.NaN
  }
}
