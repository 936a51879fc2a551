import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/redis.ts'],
    // The suite shares two cores with the Redis servers and API servers that it starts.
    maxWorkers: 2,
    // Generous: tests wait for what happens, not for how fast; a busy machine must not fail them.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 60_000 } },
  },
})
