import { describe, expect, it } from 'vitest'
import { findProxy, readProxySettings } from '../../../workers/kube/proxy.ts'

const settings = { https: 'http://secure:3128', http: 'http://plain:3128' }

describe('the proxy of the environment', () => {
  it.each([
    ['https://api.example:6443', 'http://secure:3128'],
    ['http://api.example', 'http://plain:3128'],
    ['https://10.96.0.1:443', 'http://secure:3128'],
    ['https://[2001:db8::1]:6443', 'http://secure:3128'],
    ['https://localhost:6443', undefined],
    ['https://LOCALHOST', undefined],
    ['https://127.3.2.1:6443', undefined],
    ['https://[::1]:6443', undefined],
    ['not a server', undefined],
  ])('for %s is %s', (server, proxy) => {
    expect(findProxy(server, settings)).toBe(proxy)
  })

  it.each<[string, string[], string[]]>([
    ['*', ['api.example'], []],
    ['example', ['api.example', 'example'], ['myexample', 'example.org']],
    ['.example', ['api.example', 'a.b.example'], ['example', 'myexample']],
    ['*.example', ['api.example'], ['example']],
    ['API.Example:6443', ['api.example'], []],
    ['api.example:443', [], ['api.example']],
    [' a , api.example ,', ['api.example'], ['b']],
    ['10.0.0.0/8', ['10.96.0.1'], ['11.0.0.1', 'api.example']],
    ['10.96.0.1', ['10.96.0.1'], ['10.96.0.10']],
    ['10.96.0.1:6443', ['10.96.0.1'], []],
    ['2001:db8::/32', ['[2001:db8::7]'], ['[2001:db9::7]', '10.0.0.1']],
    ['2001:db8::7', ['[2001:db8::7]'], ['[2001:db8::8]']],
    ['[2001:db8::7]:6443', ['[2001:db8::7]'], []],
    ['10.0.0.0/99,10.0.0.0/x,/,:,[', [], ['10.0.0.1', 'api.example']],
    ['', [], ['api.example']],
  ])('is not used where NO_PROXY is "%s" for %o, and used for %o', (none, direct, proxied) => {
    for (const host of direct)
      expect([host, findProxy(`https://${host}:6443`, { ...settings, none })]).toEqual([host, undefined])
    for (const host of proxied)
      expect([host, findProxy(`https://${host}:6443`, { ...settings, none })]).toEqual([host, settings.https])
  })

  it('may be written without its scheme, in lower case, and be empty', () => {
    expect(findProxy('https://a.example', { https: 'proxy.example:3128' })).toBe('http://proxy.example:3128')
    expect(readProxySettings({ https_proxy: 'a', HTTP_PROXY: '', http_proxy: 'b', no_proxy: 'c' })).toEqual({
      https: 'a',
      http: 'b',
      none: 'c',
    })
    expect(findProxy('https://a.example', readProxySettings({}))).toBe(undefined)
  })

  it('is refused where it is no URL, without being repeated', () => {
    expect(() => findProxy('https://a.example', { https: 'http://me:s3cret@:x' })).toThrow(
      /^HTTPS_PROXY: is no URL; write http:\/\/proxy\.example:3128$/,
    )
  })
})
