import pino from 'pino'
import { expect, test } from 'vitest'
import { parseDistribution, suggestInstall } from '../../../infra/redis/distribution.ts'
import { findProgram, listCaches } from '../../../infra/redis/find.ts'

test.each([
  ['ID=debian\nVERSION_ID="12"\n', 'debian', '12', 'sudo apt-get install -y redis-server'],
  [
    'NAME="Linux Mint"\nID=linuxmint\nID_LIKE="ubuntu debian"\nVERSION_ID="22"',
    'linuxmint',
    '22',
    'sudo apt-get install -y redis-server',
  ],
  ['ID=debian\nVERSION_CODENAME=forky\n', 'debian', 'forky', 'sudo apt-get install -y redis-server'],
  ['ID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"', 'rocky', '9.4', 'sudo dnf install -y valkey'],
  ['ID=alpine\nVERSION_ID=3.22.0', 'alpine', '3.22.0', 'sudo apk add valkey'],
  ['ID=arch\n', 'arch', 'rolling', 'sudo pacman -S --noconfirm valkey'],
])('reads %j and knows how to install a server there', (text, id, version, line) => {
  const distribution = parseDistribution(text)
  expect(distribution).toMatchObject({ id, version })
  expect(suggestInstall(distribution)).toBe(line)
})

test('says how to install a server when it cannot get one', async () => {
  const search = findProgram({ searchPath: '/nowhere', caches: [], log: pino({ level: 'silent' }) })
  await expect(search).rejects.toThrow(/^No Redis server found on PATH.*\nInstall one: {2}.*\nOr set REDIS_URL/)
  await expect(search).rejects.toMatchObject({ exitCode: 2 })
})

test('keeps fetched programs in the cache of the user, else in the data folder', () => {
  expect(listCaches('/c', '/home/me', '/d')).toEqual(['/c/kube-watch-relay', '/d/cache'])
  expect(listCaches('', '/home/me', '/d')).toEqual(['/home/me/.cache/kube-watch-relay', '/d/cache'])
  expect(listCaches(undefined, undefined, '/d')).toEqual(['/d/cache'])
})
