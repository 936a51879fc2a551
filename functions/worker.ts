import type { EdgeEnvironment } from './edge/environment.ts'
import { answerAtFront } from './edge/front.ts'

export { RelayHub } from './edge/hub.ts'

/** The functions as a Cloudflare Worker; see `infra/wrangler.jsonc`. */
export default { fetch: answerAtFront } satisfies ExportedHandler<EdgeEnvironment>
