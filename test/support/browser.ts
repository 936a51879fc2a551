import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'
import { type Browser, chromium } from 'playwright-core'

/** Where Debian and others install Chromium; undefined where there is none. */
export const browserPath = findProgram('chromium', 'chromium-browser', 'google-chrome')

/** Goes into the name of tests that a machine without Chromium skips. */
export const withBrowser = browserPath === undefined ? '(skipped: no chromium in PATH)' : '(in Chromium)'

/** Starts a browser without a window. */
export function startBrowser(): Promise<Browser> {
  if (browserPath === undefined) throw new Error('no chromium in PATH')
  // Containers give neither the namespaces of its sandbox nor much shared memory; it opens only our own pages.
  return chromium.launch({ executablePath: browserPath, args: ['--no-sandbox', '--disable-dev-shm-usage'] })
}

function findProgram(...names: string[]): string | undefined {
  const folders = (process.env.PATH ?? '').split(delimiter)
  return names.flatMap((name) => folders.map((folder) => join(folder, name))).find(isProgram)
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
