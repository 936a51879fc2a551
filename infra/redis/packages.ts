import { execFile } from 'node:child_process'
import { access, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { promisify } from 'node:util'
import type { Logger } from '../../shared/role.ts'
import type { Distribution } from './distribution.ts'
import { inspectProgram, programNames, type ServerProgram } from './program.ts'

const run = promisify(execFile)
const patience = 240_000

export interface PackageOptions {
  /** Our own cache folder. What is unpacked there stays and is found again by `findUnpackedProgram`. */
  readonly cache: string
  readonly distribution: Distribution
  readonly log: Logger
  /** What is installed, so that only missing libraries are downloaded. Default: the system's own. */
  readonly dpkgStatus?: string
  /** Package lists to try before downloading lists of our own. Default: the system's own. */
  readonly systemLists?: string
}

interface Manifest {
  readonly program: string
  readonly libraries: readonly string[]
}

/** A server that an earlier run unpacked into the cache folder. */
export async function findUnpackedProgram(
  cache: string,
  distribution: Distribution,
): Promise<ServerProgram | undefined> {
  const folder = unpackedFolder(cache, distribution)
  const text = await readFile(join(folder, 'manifest.json'), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  const { program, libraries }: Manifest = JSON.parse(text)
  const name = program.slice(program.lastIndexOf('/') + 1)
  return inspectProgram(
    join(folder, program),
    libraries.map((library) => join(folder, library)),
    `${name} from the packages of ${distribution.id}, unpacked in ${cache}`,
  )
}

/**
 * Downloads the distribution's own package and the libraries it lacks, and unpacks them into our cache folder. Needs no
 * root and changes nothing outside that folder; apt checks signatures and hashes as always.
 *
 * @throws Error with apt's words when no package can be had.
 */
export async function unpackProgram(options: PackageOptions): Promise<ServerProgram> {
  const { cache, distribution, log } = options
  await mkdir(cache, { recursive: true })
  const work = await mkdtemp(join(cache, 'fetch-'))
  try {
    log.info({ cache }, `no Redis server is installed: fetching the package of ${distribution.id}, without root`)
    const { name, archives } = await download(work, options)
    const root = join(work, 'root')
    await unpack(archives, root)
    await writeFile(join(root, 'manifest.json'), JSON.stringify(await describe(root, name)))

    const target = unpackedFolder(cache, distribution)
    const spoiled = join(work, 'spoiled')
    // Another process may have finished first. If its copy runs, ours is not needed.
    if ((await findUnpackedProgram(cache, distribution)) === undefined) {
      await rename(target, spoiled).catch(ignoreMissing)
      await rename(root, target).catch(ignoreTaken)
    }
  } finally {
    await rm(work, { recursive: true, force: true })
  }
  const program = await findUnpackedProgram(cache, distribution)
  if (program === undefined) throw new Error('the unpacked server does not run, or is older than 6.2')
  log.info({ program: program.path, version: program.version }, `unpacked ${program.how}`)
  return program
}

/** Whether this system has the tools to fetch packages at all. */
export async function canFetchPackages(): Promise<boolean> {
  const tools = [run('apt-get', ['--version']), run('dpkg-deb', ['--version'])]
  return (await Promise.allSettled(tools)).every((tool) => tool.status === 'fulfilled')
}

async function download(work: string, options: PackageOptions): Promise<{ name: string; archives: string }> {
  const { systemLists = '/var/lib/apt/lists', log } = options
  const archives = join(work, 'archives')
  let failure: unknown = new Error('no package lists')

  const ownLists = join(work, 'lists')
  for (const lists of [systemLists, ownLists]) {
    if (lists === ownLists) {
      log.info({}, 'downloading package lists of our own (apt-get update)')
      await mkdir(join(ownLists, 'partial'), { recursive: true })
    } else if (!(await hasLists(lists))) continue
    const configuration = await configureApt(work, lists, archives, options)
    if (lists === ownLists) {
      await run('apt-get', ['-qq', '-c', configuration, 'update'], { timeout: patience }).catch((error: unknown) => {
        // One unreachable source fails the whole update, while the others may well hold the package.
        failure = error
        log.debug({ error: String(error) }, 'apt-get update failed')
      })
    }
    for (const name of programNames) {
      await rm(archives, { recursive: true, force: true })
      await mkdir(join(archives, 'partial'), { recursive: true })
      try {
        const install = ['-qq', '-c', configuration, '--yes', '--download-only', 'install', name]
        await run('apt-get', install, { timeout: patience })
        return { name, archives }
      } catch (error) {
        failure = error
        log.debug({ error: String(error) }, `apt-get could not download ${name}`)
      }
    }
  }
  throw failure
}

async function configureApt(work: string, lists: string, archives: string, options: PackageOptions): Promise<string> {
  const { dpkgStatus = '/var/lib/dpkg/status' } = options
  const file = join(work, 'apt.conf')
  // A file rather than -o options: only a file can clear the hooks of a system, which need root.
  const lines = [
    '#clear APT::Update::Pre-Invoke;',
    '#clear APT::Update::Post-Invoke;',
    '#clear APT::Update::Post-Invoke-Success;',
    '#clear DPkg::Pre-Install-Pkgs;',
    `Dir::State "${work}/state";`,
    `Dir::State::lists "${lists}";`,
    `Dir::State::status "${dpkgStatus}";`,
    `Dir::Cache "${work}";`,
    `Dir::Cache::archives "${archives}";`,
    `Dir::Log "${work}";`,
    'Debug::NoLocking "true";',
    'APT::Install-Recommends "false";',
    'APT::Keep-Downloaded-Packages "true";',
    'Acquire::Languages "none";',
    'Acquire::Retries "2";',
    'Acquire::http::Timeout "30";',
    // As root, apt would download as the user _apt, who cannot write to our folder.
    'APT::Sandbox::User "root";',
  ]
  await mkdir(join(work, 'state'), { recursive: true })
  await writeFile(file, `${lines.join('\n')}\n`)
  return file
}

async function unpack(archives: string, root: string): Promise<void> {
  await mkdir(root)
  const packages = (await readdir(archives)).filter((file) => file.endsWith('.deb'))
  for (const file of packages) {
    // A newer C library than the system's own does not work with the system's loader.
    if (file.startsWith('libc6_')) continue
    await run('dpkg-deb', ['--extract', join(archives, file), root])
  }
}

async function describe(root: string, name: string): Promise<Manifest> {
  const files = await readdir(root, { recursive: true, withFileTypes: true })
  const libraries = files.filter((file) => /\.so(\.|$)/.test(file.name)).map((file) => relative(root, file.parentPath))
  return { program: `usr/bin/${name}`, libraries: [...new Set(libraries)] }
}

async function hasLists(folder: string): Promise<boolean> {
  const files = await readdir(folder).catch(() => [])
  return files.some((file) => file.includes('_Packages'))
}

function unpackedFolder(cache: string, distribution: Distribution): string {
  return join(cache, `redis-${distribution.id}-${distribution.version}-${process.arch}`)
}

/** The first of these folders that we may write to; undefined if none. */
export async function chooseCache(folders: readonly string[]): Promise<string | undefined> {
  for (const folder of folders) {
    try {
      await mkdir(folder, { recursive: true })
      await access(folder, 2)
      return folder
    } catch {
      // Read-only home, no home at all: the next one is tried.
    }
  }
  return undefined
}

function ignoreMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOENT') throw error
}

function ignoreTaken(error: NodeJS.ErrnoException): void {
  if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
}
