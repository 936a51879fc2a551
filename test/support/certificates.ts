import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** A key pair and its certificate, as files and as text. */
export interface Certificate {
  certFile: string
  keyFile: string
  cert: string
  key: string
}

/** A certificate authority made for one test. */
export interface Authority extends Certificate {
  /** Makes a certificate for `localhost` and 127.0.0.1, or for a client of this name. */
  issue(name: string): Certificate
}

/** Makes an authority with openssl, in a folder that the caller removes. */
export function createAuthority(folder: string, name: string): Authority {
  const place = join(folder, name)
  mkdirSync(place)
  const openssl = (...args: string[]) =>
    execFileSync('openssl', args, { cwd: place, stdio: ['ignore', 'pipe', 'ignore'] })
  const key = (file: string) => ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', file]
  openssl('req', '-x509', ...key('ca.key'), '-out', 'ca.crt', '-days', '2', '-subj', `/CN=${name}`)
  const read = (stem: string): Certificate => {
    const [certFile, keyFile] = [join(place, `${stem}.crt`), join(place, `${stem}.key`)]
    return { certFile, keyFile, cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') }
  }
  return {
    ...read('ca'),
    issue(subject) {
      openssl('req', ...key(`${subject}.key`), '-out', `${subject}.csr`, '-subj', `/CN=${subject}`)
      writeFileSync(join(place, 'names'), 'subjectAltName=DNS:localhost,IP:127.0.0.1')
      const authority = ['-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
      openssl('x509', '-req', '-in', `${subject}.csr`, ...authority, '-out', `${subject}.crt`)
      return read(subject)
    },
  }
}
