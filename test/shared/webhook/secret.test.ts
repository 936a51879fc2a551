import { Webhook as Verifier } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { createKeyPair, createSecret, createSecretBox, secretBytes } from '../../../shared/webhook/secret.ts'
import { toMessageId } from '../../../workers/deliverer/message-id.ts'
import { createSigner, signMessage } from '../../../workers/deliverer/signature.ts'

describe('secrets', () => {
  it('are 32 random bytes behind whsec_', () => {
    const secret = createSecret()
    expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(secretBytes(secret)).toHaveLength(32)
    expect(createSecret()).not.toBe(secret)
  })

  it('open for their owner under their key, and for nobody else', async () => {
    const box = createSecretBox('key')
    const sealed = await box.seal('whsec_x', 'wh_1')
    expect(sealed).not.toContain('whsec_x')
    expect(await box.seal('whsec_x', 'wh_1')).not.toBe(sealed)
    expect(await box.open(sealed, 'wh_1')).toBe('whsec_x')
    expect(await createSecretBox(new TextEncoder().encode('key')).open(sealed, 'wh_1')).toBe('whsec_x')
    await expect(box.open(sealed, 'wh_2')).rejects.toThrow()
    await expect(createSecretBox('other').open(sealed, 'wh_1')).rejects.toThrow()
    const at = sealed.length - 4
    const changed = `${sealed.slice(0, at)}${sealed[at] === 'A' ? 'B' : 'A'}${sealed.slice(at + 1)}`
    await expect(box.open(changed, 'wh_1')).rejects.toThrow()
    await expect(box.open('v2.a.b', 'wh_1')).rejects.toThrow()
  })
})

describe('signatures', () => {
  const secret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'

  it("are the specification's for its vector", () => {
    const [id, timestamp, body] = ['msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}'] as const
    const expected = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    expect(signMessage([createSigner(secret)], id, timestamp, body)).toBe(expected)
  })

  it('are the same as those of the standard library, one per valid secret', () => {
    const body = JSON.stringify({ text: 'grüße 🚀' })
    const other = createSecret()
    const now = Math.floor(Date.now() / 1000)
    const id = toMessageId('prod/uid/1')
    const signature = signMessage([secret, other].map(createSigner), id, now, body)
    for (const each of [secret, other]) {
      const headers = { 'webhook-id': id, 'webhook-timestamp': String(now), 'webhook-signature': signature }
      expect(new Verifier(each).verify(body, headers)).toEqual(JSON.parse(body))
      expect(signature).toContain(new Verifier(each).sign(id, new Date(now * 1000), body))
    }
  })

  it("are those of Svix' own test for ed25519", () => {
    const key = 'whsk_6Xb/dCcHpPea21PS1N9VY/NZW723CEc77N4rJCubMbfVKIDij2HKpMKkioLlX0dRqSKJp4AJ6p9lMicMFs6Kvg=='
    const [id, timestamp, body] = ['msg_p5jXN8AQM9LWM0D4loKWxJek', 1614265330, '{"test": 2432232314}'] as const
    expect(signMessage([createSigner(key)], id, timestamp, body)).toBe(
      'v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw/enGzPCXe5BdqzCInXqYXFymVJaA7AZdpXwVLPo3mNl8EM+m7TBAg==',
    )
  })

  it('of a key pair verify by WebCrypto with the public half, and with no other', async () => {
    const [pair, other] = [await createKeyPair(), await createKeyPair()]
    expect(pair.publicKey).toMatch(/^whpk_[A-Za-z0-9+/]{43}=$/)
    const signature = signMessage([createSigner(pair.secret)], 'id', 7, 'grüße')
    const bytes = Uint8Array.fromBase64(signature.slice('v1a,'.length))
    const verify = async ({ publicKey }: { publicKey: string }, content: string) => {
      const raw = Uint8Array.fromBase64(publicKey.slice('whpk_'.length))
      const key = await crypto.subtle.importKey('raw', raw, 'Ed25519', false, ['verify'])
      return crypto.subtle.verify('Ed25519', key, bytes, new TextEncoder().encode(content))
    }
    expect(await verify(pair, 'id.7.grüße')).toBe(true)
    expect(await verify(pair, 'id.8.grüße')).toBe(false)
    expect(await verify(other, 'id.7.grüße')).toBe(false)
  })
})
