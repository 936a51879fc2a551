import type { Delivery } from '../../shared/webhook/delivery.ts'
import type { DisabledReason } from '../../shared/webhook/webhook.ts'
import type { ContentWriter } from './body.ts'
import { type Content, encodeBatch, toBatchId } from './content.ts'
import type { EndpointHealth } from './health.ts'
import { toMessageId } from './message-id.ts'
import { conclude, pauseAfter } from './outcome.ts'
import type { Recipient } from './recipient.ts'
import type { Sender, Sent } from './send.ts'
import { signMessage } from './signature.ts'

/** One webhook's endpoint, while one job is worked on. */
export interface Endpoint {
  readonly isEnabled: boolean
  /** Until when it wants to be left alone, ms since 1970; undefined when it does not. */
  pausedUntil(): number | undefined
  /**
   * Makes one attempt for all of these deliveries, and draws what follows from it for the endpoint.
   * @returns the deliveries as they are after it.
   * @throws when a stop ended the request.
   */
  attempt(parcels: readonly Parcel[]): Promise<Delivery[]>
}

/** A delivery that is to be sent. */
export interface Parcel {
  id: string
  delivery: Delivery
  /** JSON as in the log. */
  event: string
}

export interface EndpointDeps {
  sender: Pick<Sender, 'send'>
  contents: ContentWriter
  health: EndpointHealth
  /** Turns an endpoint off. */
  disable(webhook: string, reason: DisabledReason): Promise<void>
  userAgent: string
  /** Pauses before the attempts in ms, where the webhook has none of its own. */
  schedule: readonly number[]
  /** An endpoint that has taken nothing for so many ms is turned off. */
  disableAfter: number
  /** From [0, 1). */
  random(): number
  /** ms since 1970. */
  now(): number
}

/** Creates the endpoint for one job. */
export function createEndpoint(deps: EndpointDeps, { webhook, headers: own, target }: Recipient): Endpoint {
  const { health, now } = deps
  const { id: webhookId, schedule = deps.schedule } = webhook
  // One number for the whole job keeps those that failed together in one job.
  const random = deps.random()
  let isEnabled = webhook.enabled

  const disable = async (reason: DisabledReason) => {
    if (!isEnabled) return
    isEnabled = false
    await deps.disable(webhookId, reason)
  }
  const send = async (parcels: readonly Parcel[]): Promise<Sent> => {
    if ('error' in target) return { attempt: { at: now(), latencyMs: 0, ...target } }
    const { messageId, content } = await pack(parcels)
    const { body } = content
    const at = now()
    const timestamp = Math.floor(at / 1000)
    const signers = target.signers.filter(({ until }) => until > at).map(({ sign }) => sign)
    const headers = {
      ...own,
      ...content.headers,
      'user-agent': deps.userAgent,
      'webhook-id': messageId,
      'webhook-timestamp': String(timestamp),
      'webhook-signature': signMessage(signers, messageId, timestamp, body),
    }
    return await deps.sender.send({ origin: target.origin, path: target.path, headers, body })
  }

  /** What goes into one request, and what it is called. */
  const pack = async (parcels: readonly Parcel[]): Promise<{ messageId: string; content: Content }> => {
    const contents: Content[] = []
    for (const { id, delivery, event } of parcels)
      contents.push(await deps.contents.write(event, id, delivery, webhook))
    const [parcel, content] = [parcels[0], contents[0]]
    if (parcel === undefined || content === undefined) throw new Error('nothing to send')
    if (webhook.content !== 'batch') return { messageId: toMessageId(parcel.delivery.event), content }
    return { messageId: toBatchId(parcels.map(({ delivery }) => delivery.event)), content: encodeBatch(contents) }
  }

  return {
    get isEnabled() {
      return isEnabled
    },
    pausedUntil() {
      const until = health.pausedUntil(webhookId)
      return until > now() ? until : undefined
    },
    async attempt(parcels) {
      const sent = await send(parcels)
      const outcomes = parcels.map(({ delivery }) => conclude(delivery, sent, now(), random, schedule))
      if (sent.attempt.error === undefined) {
        if (health.isFailing(webhookId)) await health.succeeded(webhookId)
      } else {
        const failingSince = await health.failed(webhookId, sent.attempt.at, now(), pauseAfter(sent))
        if (outcomes.some(({ isGone }) => isGone)) await disable('gone')
        else if (now() - failingSince >= deps.disableAfter) await disable('failing')
      }
      return outcomes.map(({ delivery }) => delivery)
    },
  }
}
