import { setTimeout as sleep } from 'node:timers/promises'
import { type Command, InvalidArgumentError } from 'commander'
import {
  createWebhookClient,
  type DeliveryView,
  type ExplanationView,
  type Rehearsal,
  type TaskView,
  type WebhookClient,
  type WebhookView,
} from './client.ts'
import {
  renderDelivery,
  renderExplanation,
  renderFields,
  renderRehearsal,
  renderTask,
  renderWebhook,
} from './render.ts'

/** What the commands need from the process. */
export interface WebhookCommandDeps {
  /** Where the API is, unless `--url` says so. */
  url: string
  token: string | undefined
  print(text: string): void
  /** Ends the process. */
  done(code: number): void
  signal?: AbortSignal
}

/** Where a test, a replay or a change of state is looked for again, in ms. */
const pollEvery = 500
/** How long `test` waits for the first attempt, in ms: longer than the standard deadline. */
const patience = 20_000

interface Options {
  url?: string
  json?: boolean
  [name: string]: unknown
}

/** Adds `relay webhooks …`, which do over the HTTP API whatever can be done there. */
export function addWebhookCommands(program: Command, deps: WebhookCommandDeps): void {
  const { done } = deps
  const group = program.command('webhooks').description('register webhooks, and see what became of deliveries')
  const print = (text: string) => deps.print(`${text}\n`)
  const add = (
    usage: string,
    description: string,
    run: (client: WebhookClient, argument: string, options: Options, second: string) => Promise<number>,
  ) =>
    group
      .command(usage)
      .description(description)
      .option('--url <url>', `where the API is (default: ${deps.url})`)
      .option('--json', 'print the answer as JSON')
      .action(async (...given: unknown[]) => {
        // Commander passes the arguments, then the options, then the command.
        const options = given.at(-2) as Options
        const [first = '', second = ''] = given.slice(0, -2).map((argument) => String(argument ?? ''))
        done(await run(createWebhookClient(options.url ?? deps.url, deps.token), first, options, second))
      })
  const show = (answer: object, options: Options, text: () => string) => {
    print(options.json ? JSON.stringify(answer, null, 2) : text())
    return 0
  }
  const tell = (answer: object, options: Options) => show(answer, options, () => renderFields({ ...answer }))

  add('add <endpoint>', 'register a webhook; its secret is told this once', async (client, url, options) => {
    const { filter, from, ordering, content, batchSeconds, description, signatures, dryRun } = options
    const body = { url, filter, from, ordering, content, batchSeconds, description, signatures }
    if (dryRun) {
      const answer = await client.ask<Rehearsal>('POST', '?dryRun=true', body)
      return show(answer, options, () => renderRehearsal(answer))
    }
    return tell(await client.ask<object>('POST', '', body), options)
  })
    .option('-f, --filter <name=value>', 'such as phase.to=Failed; may be repeated', readFilter)
    .option('--from <place>', 'the first event: now, start, state, a cursor or a time')
    .option('--dry-run', 'check everything, register nothing, and tell what it would have been sent in the last hour')
    .option('--ordering <word>', 'none, object or latest')
    .option('--content <word>', 'structured, binary or batch')
    .option('--batch-seconds <seconds>', 'for how long a batch may wait for more', Number)
    .option('--description <text>', 'for people')
    .option('--signatures <kinds...>', 'v1, v1a or both')

  add('list', 'all webhooks', async (client, _, options) => {
    const all = await client.all<WebhookView>('')
    return show(
      all,
      options,
      () => all.map(renderWebhook).join('\n') || 'There are none; `relay webhooks add <endpoint>`.',
    )
  })

  add('show <id>', 'one webhook, and its last deliveries', async (client, id, options) => {
    const webhook = await client.ask<WebhookView>('GET', `/${id}`)
    const { items } = await client.ask<{ items: DeliveryView[] }>('GET', `/${id}/deliveries?limit=10`)
    const lines = () => [renderFields(webhook), '', ...items.map(renderDelivery)].join('\n')
    return show({ ...webhook, deliveries: items }, options, lines)
  })

  add('test <id>', 'send a test event, and tell how it went', async (client, id, options) => {
    const { id: sent } = await client.ask<DeliveryView>('POST', `/${id}/test`)
    const deadline = Date.now() + patience
    for (;;) {
      const delivery = await client.ask<DeliveryView>('GET', `/${id}/deliveries/${sent}`)
      if (delivery.attempts.length > 0 || delivery.state !== 'pending' || Date.now() > deadline) {
        const detail = delivery.attempts.at(-1)?.detail
        show(delivery, options, () => renderDelivery(delivery) + (detail === undefined ? '' : `\n${detail}`))
        return delivery.state === 'delivered' ? 0 : 1
      }
      await sleep(pollEvery)
    }
  })

  add('why <id> <event>', 'what became of an event, or why it was not sent', async (client, id, options, event) => {
    const answer = await client.ask<ExplanationView>('GET', `/${id}/explain?event=${encodeURIComponent(event)}`)
    return show(answer, options, () => renderExplanation(answer))
  })

  add('tail <id>', 'tell of deliveries as they happen, until Ctrl-C', async (client, id, options) => {
    let told = new Map<string, string>()
    for (let isFirst = true; deps.signal?.aborted !== true; isFirst = false) {
      const limit = isFirst ? 10 : 200
      const { items } = await client.ask<{ items: DeliveryView[] }>('GET', `/${id}/deliveries?limit=${limit}`)
      const now = new Map(items.map((item) => [item.id, `${item.state} ${item.attempts.length}`]))
      const news = items.filter((item) => told.get(item.id) !== now.get(item.id))
      for (const item of news.reverse()) print(options.json ? JSON.stringify(item) : renderDelivery(item))
      told = new Map([...told, ...now].slice(-2000))
      await sleep(pollEvery, undefined, { signal: deps.signal }).catch(() => undefined)
    }
    return 0
  })

  add('replay <id>', 'send a part of the log once more, or what failed', async (client, id, options) => {
    const { from, to, errors, filter, failedSince } = options
    let task =
      typeof failedSince === 'string'
        ? await client.ask<TaskView>('POST', `/${id}/recover?since=${encodeURIComponent(failedSince)}`)
        : await client.ask<TaskView>('POST', `/${id}/replay`, { from, to, errors, filter })
    while (task.state === 'running') {
      await sleep(pollEvery)
      task = await client.ask<TaskView>('GET', `/${id}/tasks/${task.id}`)
    }
    return show(task, options, () => renderTask(task))
  })
    .option('--from <place>', 'start, a cursor or a time')
    .option('--to <place>', 'a cursor or a time; without it, now')
    .option('-f, --filter <name=value>', "instead of the webhook's own; may be repeated", readFilter)
    .option('--errors <classes...>', 'only what failed like this: timeout, status, connect …')
    .option('--failed-since <time>', 'everything that ended without being delivered since then')

  add('cancel <id> <task>', 'end a replay', async (client, id, options, task) => {
    const answer = await client.ask<TaskView>('POST', `/${id}/tasks/${encodeURIComponent(task)}/cancel`)
    return show(answer, options, () => renderTask(answer))
  })

  add('tasks <id>', 'replays and recoveries of the last days', async (client, id, options) => {
    const { items } = await client.ask<{ items: TaskView[] }>('GET', `/${id}/tasks`)
    return show(
      items,
      options,
      () => items.map((task) => `${task.id}  ${renderTask(task)}`).join('\n') || 'There are none.',
    )
  })

  add(
    'verify [id]',
    'compare the record of deliveries with the log; of all webhooks, or of one',
    async (client, id, options) => {
      const ids = id === '' ? (await client.all<WebhookView>('')).map((webhook) => webhook.id) : [id]
      let isRight = true
      for (const one of ids) {
        const found = await client.ask<Verification>('GET', `/${one}/verify`)
        isRight &&= found.isBalanced && found.missing.length === 0
        show({ id: one, ...found }, options, () => renderVerification(one, found))
      }
      return isRight ? 0 : 1
    },
  )

  for (const [name, method, path, description] of [
    ['enable', 'POST', '/enable', 'turn a webhook on'],
    ['disable', 'POST', '/disable', 'turn a webhook off'],
    ['rotate', 'POST', '/rotate-secret', 'make a new secret; the old one signs for a day more'],
    ['remove', 'DELETE', '', 'remove a webhook and the record of its deliveries'],
  ] as const) {
    add(`${name} <id>`, description, async (client, id, options) => {
      const answer = await client.ask<object | undefined>(method, `/${id}${path}`, name === 'rotate' ? {} : undefined)
      return tell(answer ?? { id, removed: true }, options)
    })
  }
}

interface Verification {
  accepted: number
  pending: number
  isBalanced: boolean
  told: number
  events: number
  matched: number
  missing: string[]
  [end: string]: unknown
}

function renderVerification(id: string, found: Verification): string {
  const { accepted, pending, delivered, isBalanced, told, events, matched, missing } = found
  const balance = isBalanced ? 'each with one end' : 'NOT each with one end'
  const gaps = missing.length === 0 ? 'none missing' : `${missing.length} MISSING: ${missing.slice(0, 5).join(' ')}`
  const state = told === 0 ? '' : `${told} current objects told, `
  return `${id}  ${accepted} accepted (${delivered} delivered, ${pending} pending), ${balance}; ${state}${matched} of ${events} events match, ${gaps}`
}

function readFilter(text: string, before: Record<string, string> = {}): Record<string, string> {
  const at = text.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('Write name=value, such as phase.to=Failed.')
  return { ...before, [text.slice(0, at)]: text.slice(at + 1) }
}
