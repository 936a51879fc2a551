import { connectRedis } from '../../infra/node/connect-redis.ts'
import { SetupError } from '../../infra/node/setup-error.ts'
import { type Action, actions, parseGrantItems } from '../../shared/access.ts'
import { type ApiKey, createApiKeyStore } from '../../shared/api-key.ts'
import type { RoleConfig } from '../../shared/config.ts'
import { createKeys } from '../../shared/keys.ts'
import type { Logger } from '../../shared/role.ts'

/** What `relay keys` is asked to do. */
export type KeysCommand =
  | {
      readonly do: 'create'
      readonly tenant: string
      readonly namespaces: string
      readonly resources: string
      readonly actions: string
      /** Days until it ends. */
      readonly days?: string
    }
  | { readonly do: 'list' }
  | { readonly do: 'revoke'; readonly id: string }

const tenantName = /^[\w.@:-]{1,128}$/

/**
 * Runs `relay keys`.
 * @returns what to print.
 * @throws SetupError when an argument makes no sense, or there is no such key.
 */
export async function runKeys(command: KeysCommand, config: RoleConfig, log: Logger): Promise<string> {
  const redis = connectRedis(config.redisUrl, { log, name: 'keys' })
  const store = createApiKeyStore(redis, createKeys(config.cluster))
  try {
    if (command.do === 'list') return renderKeys(await store.list())
    if (command.do === 'revoke') {
      if (await store.revoke(command.id)) return `Revoked ${command.id}; its streams end within a second.\n`
      throw new SetupError(`There is no key ${command.id}; see relay keys list.`)
    }
    const { key, record } = await store.create(readKey(command))
    return `${key}\n\nKey ${record.id} of ${record.tenant}. It is not shown again; only its hash is kept.\n`
  } finally {
    redis.disconnect()
  }
}

function readKey(command: Extract<KeysCommand, { do: 'create' }>): Omit<ApiKey, 'id' | 'hash'> {
  const { tenant, namespaces, resources, days } = command
  if (!tenantName.test(tenant)) throw new SetupError('A tenant is 1 to 128 of letters, digits and . _ - @ :')
  if (days !== undefined && !/^[1-9]\d{0,3}$/.test(days)) throw new SetupError('--days: a number from 1 to 9999')
  const wanted = command.actions.split(',')
  const unknown = wanted.find((item) => !(actions as readonly string[]).includes(item))
  if (unknown !== undefined) throw new SetupError(`--actions: "${unknown}" is none; there are ${actions.join(', ')}`)
  const now = Date.now()
  return {
    tenant,
    grants: [
      { namespaces: parseGrantItems(namespaces, '--namespaces'), resources: parseGrantItems(resources, '--resources') },
    ],
    actions: wanted as Action[],
    createdAt: new Date(now).toISOString(),
    ...(days === undefined ? {} : { expiresAt: new Date(now + Number(days) * 86_400_000).toISOString() }),
  }
}

function renderKeys(keys: readonly ApiKey[]): string {
  const rows = keys.map(({ id, tenant, grants, actions, createdAt, expiresAt }) => [
    id,
    tenant,
    grants.map(({ namespaces }) => namespaces.join(',')).join(' '),
    grants.map(({ resources }) => resources.join(',')).join(' '),
    actions.join(','),
    createdAt,
    expiresAt ?? 'never',
  ])
  const table = [['ID', 'TENANT', 'NAMESPACES', 'RESOURCES', 'ACTIONS', 'CREATED', 'EXPIRES'], ...rows]
  const widths = [0, 1, 2, 3, 4, 5].map((column) => Math.max(...table.map((row) => row[column]?.length ?? 0)))
  return `${table.map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')).join('\n')}\n`
}
