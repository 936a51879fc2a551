import { describe, expect, it } from 'vitest'
import { createAddressPolicy } from '../../../shared/webhook/address.ts'
import { hostileTargets } from './hostile-hosts.ts'

const strict = createAddressPolicy({ allowCidrs: [], allowHttp: false })
const open = createAddressPolicy({ allowCidrs: ['127.0.0.0/8', '10.1.0.0/16', 'fd00::/8'], allowHttp: true })

describe('where webhooks may go', () => {
  it('knows enough hostile addresses', () => {
    expect(hostileTargets.length).toBe(229)
  })

  it.each(hostileTargets)('refuses https://%s/ and says which field', (host) => {
    expect(() => strict.checkUrl(`https://${host}/`)).toThrow(expect.objectContaining({ details: { field: 'url' } }))
  })

  it.each(['8.8.8.8', '1.1.1.1', '[2606:4700::1111]', 'example.com', '9.255.255.255', '11.0.0.0', '172.32.0.1'])(
    'takes https://%s/',
    (host) => {
      expect(strict.checkUrl(`https://${host}/hook?a=b`).href).toBe(`https://${host}/hook?a=b`)
    },
  )

  it.each([
    ['http://example.com/', 'must be https'],
    ['ftp://example.com/', 'must be https'],
    ['file:///etc/passwd', 'must be https'],
    ['javascript:alert(1)', 'must be https'],
    ['https://user@example.com/', 'user name or password'],
    ['https://user:secret@example.com/', 'user name or password'],
    ['https://:@example.com:22/', 'port'],
    ['https://example.com:25/', 'port'],
    ['example.com/hook', 'not an absolute URL'],
    ['//example.com/', 'not an absolute URL'],
    ['https://', 'not an absolute URL'],
    ['', 'not an absolute URL'],
    [`https://example.com/${'a'.repeat(2100)}`, 'at most 2048'],
  ])('refuses %s', (url, reason) => {
    expect(() => strict.checkUrl(url)).toThrow(reason)
    expect(() => strict.checkUrl(url)).not.toThrow('secret')
  })

  it('allows what configuration names, and nothing beside it', () => {
    for (const host of ['127.0.0.1', '2130706433', '[::ffff:127.0.0.1]', 'localhost', '10.1.2.3', '[fd00::1]']) {
      expect(open.checkUrl(`http://${host}:8080/`).port).toBe('8080')
    }
    for (const host of ['10.2.0.1', '169.254.169.254', '[::1]', '[fe80::1]']) {
      expect(() => open.checkUrl(`http://${host}/`)).toThrow('not a public address')
    }
  })

  it('drops the fragment, which would never be sent', () => {
    expect(strict.checkUrl('https://example.com/a#b').href).toBe('https://example.com/a')
  })

  it.each(['', 'no address', '1.2.3', '127.0.0.010', '::g', '127.0.0.1/8'])('takes %j for no address', (text) => {
    expect(open.allows(text)).toBe(false)
  })

  it('refuses a network that is none', () => {
    expect(() => createAddressPolicy({ allowCidrs: ['10.0.0.0'], allowHttp: false })).toThrow()
  })
})
