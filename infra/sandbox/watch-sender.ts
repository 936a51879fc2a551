import type { ServerResponse } from 'node:http'
import type { Clock } from './clock.ts'

/** Limits on what may wait for a reader that does not keep up. */
export interface SenderLimits {
  /** Frames that may wait before the watcher counts as slow. */
  buffer: number
  /** Milliseconds that a slow watcher has to take at least something before it is cut off. */
  patience: number
}

/** Writes frames to a response with a bounded queue behind the socket. */
export interface WatchSender {
  send(frame: Buffer): void
  /** Ends the response once everything queued is written. */
  end(): void
}

/** However well a reader progresses, this many buffers' worth of waiting frames is the end of it. */
const hardFactor = 64

/**
 * Like the real server's cacheWatcher: a reader that stops reading is cut off instead of slowing anyone down.
 * `onCut` is called when that happens; what is queued then is lost, and the response ends cleanly after what was sent.
 */
export function createWatchSender(
  response: ServerResponse,
  clock: Clock,
  limits: SenderLimits,
  onCut: () => void,
): WatchSender {
  let queue: Buffer[] = []
  let isBlocked = false
  /** Frames that the socket has taken out of the queue: what tells a slow reader from a deaf one. */
  let sentCount = 0
  let isEnding = false
  let isOver = false
  let cancelVerdict: (() => void) | undefined

  function finish(): void {
    if (isOver) return
    isOver = true
    cancelVerdict?.()
    queue = []
    response.end()
  }

  function cut(): void {
    onCut()
    finish()
  }

  function judge(sentBefore: number): void {
    cancelVerdict = clock.after(limits.patience, () => {
      cancelVerdict = undefined
      if (isOver || queue.length <= limits.buffer) return
      if (sentCount === sentBefore) cut()
      else judge(sentCount)
    })
  }

  function flush(): void {
    isBlocked = false
    response.cork()
    let sent = 0
    for (const frame of queue) {
      sent++
      if (!response.write(frame)) {
        isBlocked = true
        break
      }
    }
    sentCount += sent
    queue = sent === queue.length ? [] : queue.slice(sent)
    response.uncork()
    if (isEnding && queue.length === 0) finish()
  }

  response.on('drain', () => {
    if (!isOver) flush()
  })

  return {
    send(frame) {
      if (isOver || isEnding) return
      if (!isBlocked) {
        isBlocked = !response.write(frame)
        return
      }
      queue.push(frame)
      if (queue.length > limits.buffer * hardFactor) cut()
      else if (queue.length > limits.buffer && cancelVerdict === undefined) judge(sentCount)
    },
    end() {
      isEnding = true
      if (queue.length === 0) finish()
    },
  }
}
