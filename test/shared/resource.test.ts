import { describe, expect, it } from 'vitest'
import {
  isSettled,
  nameFeed,
  nameKind,
  nameResource,
  parseConfigured,
  parseResources,
  pathOf,
} from '../../shared/resource.ts'

describe('a list of resources', () => {
  it('knows the usual ones by their plural alone', () => {
    const [pods, leases] = parseResources('pods,leases')
    expect(pods).toEqual({ group: '', version: 'v1', resource: 'pods' })
    expect(leases).toMatchObject({ group: 'coordination.k8s.io', version: 'v1', resource: 'leases' })
  })

  it('leaves the leases of kubelets out unless a query says otherwise', () => {
    expect(parseResources('leases')[0]?.fieldSelector).toBe('metadata.namespace!=kube-node-lease')
    expect(parseResources('leases?')[0]?.fieldSelector).toBeUndefined()
    expect(parseResources('leases?namespace=kube-node-lease')[0]).toMatchObject({ namespace: 'kube-node-lease' })
  })

  it('takes selectors with commas when items are separated by spaces', () => {
    const list = parseResources('apps/v1/deployments pods?namespace=shop&labelSelector=app=web,tier!=db leases')
    expect(list.map(nameResource)).toEqual(['deployments.apps', 'pods', 'leases.coordination.k8s.io'])
    expect(list[1]).toMatchObject({ namespace: 'shop', labelSelector: 'app=web,tier!=db' })
  })

  it('names each watched collection by everything that decides what is in it', () => {
    const names = parseResources('pods?namespace=a pods?namespace=b&labelSelector=x=y').map(nameFeed)
    expect(names).toEqual(['/api/v1/namespaces/a/pods', '/api/v1/namespaces/b/pods?labelSelector=x%3Dy'])
    expect(pathOf({ group: 'apps', version: 'v1', resource: 'deployments' })).toBe('/apis/apps/v1/deployments')
  })

  it('keeps names that only the server can explain for those who can wait', () => {
    const list = parseConfigured('pods ingresses?namespace=a example.com/v1/widgets')
    expect(list.map(isSettled)).toEqual([true, false, false])
    expect(list.map(nameFeed)).toEqual(['/api/v1/pods', 'namespaces/a/ingresses', '/apis/example.com/v1/widgets'])
    expect(() => parseResources('ingresses')).toThrow('needs its group and version')
  })

  it('names kinds as the server does, or as the plural suggests', () => {
    const kinds = ['pods', 'ingresses', 'networkpolicies', 'endpoints'].map((resource) => nameKind({ resource }))
    expect(kinds).toEqual(['pod', 'ingress', 'networkpolicy', 'endpoints'])
    expect(nameKind({ resource: 'indices', kind: 'index' })).toBe('index')
  })

  it.each([
    ['', 'names no resource'],
    ['Pods', 'is no resource'],
    ['widgets', 'needs its group and version'],
    ['pods,pods', 'named twice'],
    ['pods?namespace=a pods', 'named twice'],
    ['pods?colour=red', 'has "colour"'],
    ['pods?namespace=A_B', 'is no namespace'],
  ])('%j is refused: %s', (text, message) => {
    expect(() => parseResources(text)).toThrow(message)
  })
})
