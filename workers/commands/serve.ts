import type { AuthSettings } from '../../functions/auth/choose.ts'
import { startServe } from '../../functions/node.ts'
import { SetupError } from '../../infra/node/setup-error.ts'
import type { RoleConfig } from '../../shared/config.ts'
import { parseConfigured } from '../../shared/resource.ts'
import type { Logger, Running } from '../../shared/role.ts'
import { findSources } from '../kube/sources.ts'

/**
 * Starts the functions with what the configuration says about callers.
 * @throws SetupError when a setting that goes with RELAY_AUTH is missing.
 */
export async function startServing(config: RoleConfig, log: Logger): Promise<Running> {
  return startServe(config, log, { auth: await chooseAuth(config, log), origins: config.corsOrigins })
}

async function chooseAuth(config: RoleConfig, log: Logger): Promise<AuthSettings> {
  const { auth, jwtIssuer, jwtAudience, jwtKeys } = config
  if (auth === 'jwt') {
    if (jwtIssuer === undefined) throw new SetupError('RELAY_JWT_ISSUER: RELAY_AUTH=jwt needs it.')
    return {
      mode: 'jwt',
      issuer: jwtIssuer,
      ...(jwtAudience === undefined ? {} : { audience: jwtAudience }),
      ...(jwtKeys === undefined ? {} : { jwks: jwtKeys }),
    }
  }
  return auth === 'kubernetes' ? { mode: 'kubernetes', reviewer: await createReviewer(config, log) } : { mode: auth }
}

/** What gives permissions, and takes them away. */
const rbac = ['roles', 'rolebindings', 'clusterroles', 'clusterrolebindings']

async function createReviewer(config: RoleConfig, log: Logger) {
  // The client for Kubernetes is a large library, which other modes do without.
  const [{ chooseCluster }, { createKubeReviewer }] = await Promise.all([
    import('../kube/config.ts'),
    import('../../infra/node/kube-reviewer.ts'),
  ])
  const choice = chooseCluster(findSources(config, process.env))
  if (choice === undefined) throw new SetupError('KUBECONFIG: RELAY_AUTH=kubernetes needs a cluster to ask.')
  const watched = new Set(parseConfigured(config.resources).map(({ resource }) => resource))
  const missing = rbac.filter((resource) => !watched.has(resource))
  if (missing.length > 0) {
    log.warn(
      {},
      `RELAY_RESOURCES without ${missing.join(' ')}: a permission taken away there ends streams up to 40 s later`,
    )
  }
  return createKubeReviewer(choice.config)
}
