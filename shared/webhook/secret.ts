const prefix = 'whsec_'
const privatePrefix = 'whsk_'

/** Makes up a Standard Webhooks secret: `whsec_` and 32 random bytes in base64. */
export function createSecret(): string {
  return prefix + toBase64(crypto.getRandomValues(new Uint8Array(32)))
}

/**
 * Makes up an ed25519 key pair as Standard Webhooks writes it: `whsk_` and the 32 bytes of the private key followed by the
 * 32 of the public one, and `whpk_` and the latter alone.
 */
export async function createKeyPair(): Promise<{ secret: string; publicKey: string }> {
  const pair: object = await crypto.subtle.generateKey({ name: 'Ed25519' }, true, ['sign', 'verify'])
  const exported = await crypto.subtle.exportKey('jwk', (pair as { privateKey: CryptoKey }).privateKey)
  const { d = '', x = '' } = exported as { d?: string; x?: string }
  const [privateBytes, publicBytes] = [fromBase64(fromUrl(d)), fromBase64(fromUrl(x))]
  const both = Uint8Array.from([...privateBytes, ...publicBytes])
  return { secret: privatePrefix + toBase64(both), publicKey: `whpk_${toBase64(publicBytes)}` }
}

/** Whether a secret is one of ed25519. */
export function isPrivateKey(secret: string): boolean {
  return secret.startsWith(privatePrefix)
}

/** The bytes of a secret: the key of its HMAC, or an ed25519 private key and its public one. */
export function secretBytes(secret: string): Uint8Array<ArrayBuffer> {
  const used = [prefix, privatePrefix].find((known) => secret.startsWith(known)) ?? ''
  return fromBase64(secret.slice(used.length))
}

/** Encrypts secrets for storage. */
export interface SecretBox {
  /** @param owner the webhook's id: the result opens for no other. */
  seal(secret: string, owner: string): Promise<string>
  /** @throws when the key is another one, or the text was changed or moved to another owner. */
  open(sealed: string, owner: string): Promise<string>
}

/** Creates a box that encrypts by AES-256-GCM under a key derived (HKDF, SHA-256) from the given one. */
export function createSecretBox(encryptionKey: Uint8Array | string): SecretBox {
  let derived: Promise<CryptoKey> | undefined
  const key = () => {
    derived ??= deriveKey(toBytes(encryptionKey))
    return derived
  }
  return {
    async seal(secret, owner) {
      const iv = crypto.getRandomValues(new Uint8Array(12))
      const text = await crypto.subtle.encrypt(algorithm(iv, owner), await key(), toBytes(secret))
      return `v1.${toBase64(iv)}.${toBase64(new Uint8Array(text))}`
    },
    async open(sealed, owner) {
      const [version, iv, text] = sealed.split('.')
      if (version !== 'v1' || iv === undefined || text === undefined) throw new Error('not a sealed secret')
      const bytes = await crypto.subtle.decrypt(algorithm(fromBase64(iv), owner), await key(), fromBase64(text))
      return new TextDecoder().decode(bytes)
    },
  }
}

function algorithm(iv: Uint8Array<ArrayBuffer>, owner: string) {
  return { name: 'AES-GCM', iv, additionalData: toBytes(owner) }
}

async function deriveKey(material: Uint8Array<ArrayBuffer>): Promise<CryptoKey> {
  const base = await crypto.subtle.importKey('raw', material, 'HKDF', false, ['deriveKey'])
  const info = toBytes('kube-watch-relay webhook secrets')
  const hkdf = { name: 'HKDF', hash: 'SHA-256', salt: new Uint8Array(0), info }
  return crypto.subtle.deriveKey(hkdf, base, { name: 'AES-GCM', length: 256 }, false, ['encrypt', 'decrypt'])
}

function toBytes(value: Uint8Array | string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(typeof value === 'string' ? new TextEncoder().encode(value) : value)
}

function fromUrl(text: string): string {
  return text.replaceAll('-', '+').replaceAll('_', '/')
}

function toBase64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes))
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
}
