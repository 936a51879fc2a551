import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'

/** What `relay up` leaves in the data folder for roles that are started beside it. */
export interface ClusterNote {
  /** The cluster's name in events. */
  readonly cluster: string
  /** Set on the sandbox. */
  readonly kubeconfig?: string
}

const fileName = 'cluster.json'

export async function writeClusterNote(data: string, note: ClusterNote): Promise<void> {
  await writeFile(join(data, fileName), `${JSON.stringify(note)}\n`)
}

export async function readClusterNote(data: string): Promise<ClusterNote | undefined> {
  const text = await readFile(join(data, fileName), 'utf8').catch(() => undefined)
  return text === undefined ? undefined : JSON.parse(text)
}
