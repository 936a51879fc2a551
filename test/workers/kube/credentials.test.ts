import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import http2 from 'node:http2'
import https from 'node:https'
import { type AddressInfo, connect, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createKubeClient, type KubeClient } from '../../../workers/kube/client.ts'
import { chooseCluster } from '../../../workers/kube/config.ts'
import type { ProxySettings } from '../../../workers/kube/proxy.ts'
import { createAuthority } from '../../support/certificates.ts'

let folder: string
let ends: (() => unknown)[]
let now: number
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'relay-credentials-'))
  ends = []
  now = Date.now()
})
afterEach(async () => {
  for (const end of ends.reverse()) await end()
  rmSync(folder, { recursive: true })
})

const file = (name: string) => join(folder, name)
const write = (name: string, text: string) => {
  // As kubelets and careful people do: the reader sees the old file or the new one.
  writeFileSync(file(`${name}.new`), text)
  renameSync(file(`${name}.new`), file(name))
}

/** A client as the product makes it from a kubeconfig file; `later` moves its clock. */
function createClient(cluster: object, user: object, proxies: ProxySettings = {}): KubeClient {
  const kubeconfig = {
    'current-context': 'c',
    clusters: [{ name: 'k', cluster }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
  }
  write('kubeconfig', JSON.stringify(kubeconfig))
  const choice = chooseCluster({ kubeconfig: file('kubeconfig'), inCluster: false, proxies })
  if (choice === undefined) throw new Error('no cluster')
  const client = createKubeClient(choice.config, 'test', () => now)
  ends.push(() => client.close())
  return client
}

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => sockets.add(socket))
  ends.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port
}

async function get(client: KubeClient, path = '/'): Promise<string> {
  const { status, body } = await client.get(path, {}, { signal: AbortSignal.timeout(10_000) })
  return `${status} ${Buffer.concat(await body.toArray()).toString()}`
}

/** Answers each request with the credentials that it came with. */
async function startMirror(): Promise<string> {
  const server = http.createServer((request, response) => response.end(request.headers.authorization ?? 'nobody'))
  return `http://127.0.0.1:${await listen(server)}`
}

describe('a token file', () => {
  it('R64 is read again after a minute, and trimmed', async () => {
    write('token', 'one\n')
    const client = createClient({ server: await startMirror() }, { tokenFile: 'token', token: 'not this one' })
    expect(await get(client)).toBe('200 Bearer one')
    write('token', '  two \n')
    now += 30_000
    expect(await get(client)).toBe('200 Bearer one')
    now += 30_000
    expect(await get(client)).toBe('200 Bearer two')
  })

  it.each([
    ['gone', () => rmSync(file('token'))],
    ['empty', () => write('token', '\n')],
  ])('R64 that is %s leaves the old token in use, until there is a new one', async (_, spoil) => {
    write('token', 'one')
    const client = createClient({ server: await startMirror() }, { tokenFile: 'token' })
    await get(client)
    spoil()
    now += 61_000
    expect(await get(client)).toBe('200 Bearer one')
    write('token', 'two')
    expect(await get(client)).toBe('200 Bearer two')
  })

  it('R64 is read again at once when the server does not know the token any more', async () => {
    write('token', 'one')
    const client = createClient({ server: await startMirror() }, { tokenFile: 'token' })
    await get(client)
    write('token', 'two')
    client.renewCredentials()
    expect(await get(client)).toBe('200 Bearer two')
  })

  it('that was never there fails the request, and nothing else', async () => {
    const client = createClient({ server: await startMirror() }, { tokenFile: 'token' })
    await expect(get(client)).rejects.toThrow('ENOENT')
    write('token', 'one')
    expect(await get(client)).toBe('200 Bearer one')
  })
})

describe('an exec plugin', () => {
  /** Counts its runs in a file; its token lasts as long as the file `seconds` says. */
  function writePlugin(): object {
    const script = `#!/bin/sh
cd "$(dirname "$0")"
[ -e broken ] && { echo "no luck" >&2; exit 1; }
echo x >> runs
printf '%s' "$KUBERNETES_EXEC_INFO" > info
cat <<END
{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{
"token":"t$(wc -l < runs | tr -d ' ')","expirationTimestamp":"$(cat expires)"}}
END
`
    write('plugin', script)
    chmodSync(file('plugin'), 0o755)
    return { exec: { apiVersion: 'client.authentication.k8s.io/v1', command: './plugin', provideClusterInfo: true } }
  }
  const expireIn = (ms: number) => write('expires', new Date(Date.now() + ms).toISOString())

  it('runs once for as long as its answer lasts, and again when that has expired', async () => {
    expireIn(3_600_000)
    const server = await startMirror()
    const client = createClient({ server }, writePlugin())
    expect(await get(client)).toBe('200 Bearer t1')
    now += 120_000
    expect(await get(client)).toBe('200 Bearer t1')
    expect(JSON.parse(readFileSync(file('info'), 'utf8')).spec.cluster.server).toBe(server)
    client.renewCredentials()
    expireIn(-1000)
    expect(await get(client)).toBe('200 Bearer t2')
    expect(await get(client)).toBe('200 Bearer t3')
  })

  it('that fails leaves its last answer in use', async () => {
    expireIn(-1000)
    const client = createClient({ server: await startMirror() }, writePlugin())
    expect(await get(client)).toBe('200 Bearer t1')
    write('broken', '')
    expect(await get(client)).toBe('200 Bearer t1')
    rmSync(file('broken'))
    expect(await get(client)).toBe('200 Bearer t2')
  })

  it('R27 that hangs does not hold up a stop', async () => {
    write('plugin', '#!/bin/sh\nexec sleep 5\n')
    chmodSync(file('plugin'), 0o755)
    const client = createClient({ server: await startMirror() }, { exec: { command: './plugin' } })
    const stop = new AbortController()
    const asked = client.get('/', {}, { signal: stop.signal })
    stop.abort()
    await expect(asked).rejects.toThrow('aborted')
  })
})

describe('certificates', () => {
  /** Tells every client its name; a request for `/watch` is never ended. */
  async function startSecure(certificate: { cert: string; key: string }, clientAuthority?: string) {
    const settings = {
      ...certificate,
      ...(clientAuthority === undefined ? {} : { ca: clientAuthority, requestCert: true, rejectUnauthorized: true }),
    }
    const server = https.createServer(settings, (request, response) => {
      const name = (request.socket as TLSSocket).getPeerCertificate()?.subject?.CN ?? 'nobody'
      if (request.url === '/watch') response.write(`${name}\n`)
      else response.end(name)
    })
    const port = await listen(server)
    return { server, url: `https://127.0.0.1:${port}` }
  }

  it('R66 of the authority are read again: a server with a new one is believed without a restart', async () => {
    const [first, second] = [createAuthority(folder, 'first'), createAuthority(folder, 'second')]
    const { server, url } = await startSecure(first.issue('server'))
    write('ca', first.cert)
    const client = createClient({ server: url, 'certificate-authority': 'ca' }, { token: 't' })
    expect(await get(client)).toBe('200 nobody')
    server.setSecureContext(second.issue('server'))
    server.closeAllConnections()
    await expect(get(client)).rejects.toThrow()
    write('ca', second.cert)
    expect(await get(client)).toBe('200 nobody')
  })

  it('R66 of the client are read again, while a watch under the old one goes on', async () => {
    const authority = createAuthority(folder, 'authority')
    const { url } = await startSecure(authority.issue('server'), authority.cert)
    const use = (name: string) => {
      const { cert, key } = authority.issue(name)
      write('client.crt', cert)
      write('client.key', key)
    }
    use('ann')
    const user = { 'client-certificate': 'client.crt', 'client-key': 'client.key' }
    const client = createClient({ server: url, 'certificate-authority': authority.certFile }, user)
    const stop = new AbortController()
    const watch = await client.get('/watch', {}, { signal: stop.signal })
    const frames = watch.body[Symbol.asyncIterator]()
    expect(String((await frames.next()).value)).toBe('ann\n')
    use('bob')
    expect(await get(client)).toBe('200 ann')
    now += 60_000
    expect(await get(client)).toBe('200 bob')
    expect(watch.body.destroyed).toBe(false)
    stop.abort()
    await expect(frames.next()).rejects.toThrow()
  })

  it('R73 lead to HTTP/1.1 even where the server prefers HTTP/2, so that watches do not share a connection', async () => {
    const authority = createAuthority(folder, 'authority')
    const server = http2.createSecureServer({ ...authority.issue('server'), allowHTTP1: true }, (request, response) =>
      response.end(request.httpVersion),
    )
    const url = `https://127.0.0.1:${await listen(server as unknown as Server)}`
    const client = createClient({ server: url, 'certificate-authority': authority.certFile }, {})
    expect(await get(client)).toBe('200 1.1')
  })
})

describe('a proxy', () => {
  /** Connects through for TLS, and passes on requests without; remembers for whom. Names under `.test` are this machine to it alone. */
  async function startProxy(credential?: string) {
    const asked: string[] = []
    const server = http.createServer((request, response) => {
      const { host, pathname } = new URL(request.url ?? '')
      asked.push(host)
      http.get(`http://${host}${pathname}`, { headers: request.headers }, (answer) => answer.pipe(response))
    })
    server.on('connect', (request, socket: Socket) => {
      asked.push(request.url ?? '')
      if (request.headers['proxy-authorization'] !== credential) {
        socket.end('HTTP/1.1 407 Proxy Authentication Required\r\n\r\n')
        return
      }
      const [name = '', port] = (request.url ?? '').split(':')
      const host = name.endsWith('.test') ? '127.0.0.1' : name
      const upstream = connect(Number(port), host, () => {
        socket.write('HTTP/1.1 200 OK\r\n\r\n')
        upstream.pipe(socket).pipe(upstream)
      })
      for (const side of [socket, upstream]) side.on('error', () => upstream.destroy())
    })
    return { asked, url: `http://127.0.0.1:${await listen(server)}` }
  }

  it('that the kubeconfig names is used, for TLS and without', async () => {
    const proxy = await startProxy()
    const authority = createAuthority(folder, 'authority')
    const server = https.createServer(authority.issue('server'), (_, response) => response.end('secure'))
    const secure = `https://localhost:${await listen(server)}`
    const plain = await startMirror()
    const place = { 'proxy-url': proxy.url, 'certificate-authority': authority.certFile }
    expect(await get(createClient({ server: secure, ...place }, {}))).toBe('200 secure')
    expect(await get(createClient({ server: plain, 'proxy-url': proxy.url }, { token: 't' }))).toBe('200 Bearer t')
    expect(proxy.asked).toEqual([new URL(secure).host, new URL(plain).host])
  })

  it('that the environment names is used with the certificates of both sides, and not where it is excepted', async () => {
    const authority = createAuthority(folder, 'authority')
    const options = { ...authority.issue('server'), ca: authority.cert, requestCert: true, rejectUnauthorized: true }
    const server = https.createServer(options, (request, response) =>
      response.end((request.socket as TLSSocket).getPeerCertificate().subject.CN),
    )
    const url = `https://kubernetes.test:${await listen(server)}`
    const proxy = await startProxy(`Basic ${Buffer.from('me:p@ss').toString('base64')}`)
    const ann = authority.issue('ann')
    const cluster = { server: url, 'certificate-authority': authority.certFile, 'tls-server-name': 'localhost' }
    const user = { 'client-certificate': ann.certFile, 'client-key': ann.keyFile }
    const through = (host: string, none?: string) =>
      createClient(cluster, user, { https: proxy.url.replace('//', `//${host}`), http: 'http://127.0.0.1:1', none })
    expect(await get(through('me:p%40ss@'))).toBe('200 ann')
    expect(proxy.asked).toEqual([new URL(url).host])
    await expect(get(through('me:wrong@'))).rejects.toThrow('407')
    const asked = proxy.asked.length
    await expect(get(through('me:p%40ss@', '10.0.0.0/8,.test'))).rejects.toThrow('kubernetes.test')
    expect(proxy.asked).toHaveLength(asked)
    const own = await startProxy()
    await get(createClient({ ...cluster, 'proxy-url': own.url }, user, { https: proxy.url }))
    expect([own.asked.length, proxy.asked.length]).toEqual([1, asked])
  })
})
