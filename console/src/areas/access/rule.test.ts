import { describe, expect, it } from 'vitest'
import { faults, formOf, nameOf, pathOf, ruleOf, width } from './rule'

describe('rules of classes', () => {
  it('have names when they are papers, and none in records', () => {
    expect(nameOf({ source: '88.608.1/POLICY_prices' })).toBe('prices')
    expect(nameOf({ source: '88.608.1/ENG-42', index: 7 })).toBeUndefined()
    expect(nameOf({ source: '88.608.1/ENG-42' })).toBeUndefined()
    expect(pathOf('88.608.1', 'a/b')).toBe('/api/policies/88.608.1/a%2Fb')
  })
  it('come out of a form as they went in, with whom they grant what', () => {
    const old = { template: '88.608.1/TPL_bottle', items: ['price', '2001'], visibility: 'granted' as const, grants: [{ to: ['88.608.2'] }], note: 'n' }
    expect(ruleOf(formOf('x', old), old)).toEqual({ ...old, hidden: undefined })
    expect(ruleOf({ ...formOf('x', {}), visibility: 'private' })).toEqual({ visibility: 'private' })
    expect(ruleOf({ ...formOf('x', {}), items: 'a，b; c', visibility: 'private' }).items).toEqual(['a', 'b', 'c'])
  })
  it('are refused when they say nothing, or nonsense', () => {
    const good = { ...formOf('prices', {}), visibility: 'private' as const }
    expect(faults(good, [])).toEqual({})
    expect(faults({ ...good, name: 'a b' }, [])).toEqual({ name: 'ruleNameBad' })
    expect(faults({ ...good, name: 'PRICES' }, ['prices'])).toEqual({ name: 'ruleNameTaken' })
    expect(faults({ ...good, template: 'bottle' }, [])).toEqual({ template: 'ruleTemplateBad' })
    expect(faults({ ...good, hidden: true, items: 'a' }, [])).toEqual({ hidden: 'ruleHiddenItems' })
    expect(faults({ ...good, visibility: '' }, [])).toEqual({ visibility: 'ruleNothing' })
    expect(faults({ ...good, visibility: '', hidden: true }, [])).toEqual({})
  })
  it('are of properties, of a template, or of everything', () => {
    expect([width({ items: ['a'], template: 't' }), width({ template: 't', items: [] }), width({ items: null })]).toEqual(['items', 'template', 'prefix'])
  })
})
