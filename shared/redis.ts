/**
 * The part of a Redis client that the relay needs; ioredis' `Redis` and `Cluster` satisfy it.
 * A command that fails rejects with an `Error` whose message starts with Redis' own code (`NOSCRIPT`, `OOM`, …).
 */
export interface RedisClient {
  call(command: string, ...args: (string | number)[]): Promise<unknown>
}

/** A Lua script that runs by its digest and is sent in full only where the server does not know it yet. */
export interface Script {
  run(redis: RedisClient, keys: readonly string[], args: readonly (string | number)[]): Promise<unknown>
}

/**
 * Prepares a Lua script. Survives `SCRIPT FLUSH`, a restart and a failover: an unknown digest is answered by the source.
 * Calls are marked as pure, so that a bundle holds only the scripts that it runs.
 */
export function createScript(source: string): Script {
  let digest: Promise<string> | undefined
  return {
    async run(redis, keys, args) {
      digest ??= sha1(source)
      try {
        return await redis.call('EVALSHA', await digest, keys.length, ...keys, ...args)
      } catch (error) {
        if (!(error instanceof Error && error.message.startsWith('NOSCRIPT'))) throw error
        return redis.call('EVAL', source, keys.length, ...keys, ...args)
      }
    },
  }
}

async function sha1(text: string): Promise<string> {
  const hash = await crypto.subtle.digest('SHA-1', new TextEncoder().encode(text))
  return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** Turns the flat `[field, value, …]` answer of HGETALL, or the map that RESP3 clients give, into an object. */
export function toRecord(answer: unknown): Record<string, string> {
  if (!Array.isArray(answer)) return { ...(answer as Record<string, string>) }
  const record: Record<string, string> = {}
  for (let i = 0; i + 1 < answer.length; i += 2) record[String(answer[i])] = String(answer[i + 1])
  return record
}
