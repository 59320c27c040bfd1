import { describe, expect, it } from 'vitest'
import { brief, common, draw, kinds } from './drawing'
import type { Link, LinkKind, Thing } from './types'

const thing = (id: string, depth: number, more: Partial<Thing> = {}): Thing => ({ id, key: id, depth, ...more })
const link = (from: string, to: string, kind: LinkKind = 'packed', more: Partial<Link> = {}): Link => ({ from, to, kind, event: 'e', since: '2026-01-01T00:00:00Z', ...more })

describe('kinds of things', () => {
  const things = [thing('88.1/PACK', 0), thing('88.1/CASE', 1), thing('88.1/LOT', -1, { class: true }), thing('88.1/CARTON', -1), thing('88.1/PUMP', 1)]
  const links = [link('88.1/PACK', '88.1/CASE'), link('88.1/LOT', '88.1/PACK', 'transformed'), link('88.1/CARTON', '88.1/PACK', 'transformed'), link('88.1/PACK', '88.1/PUMP', 'assembled')]
  it('tells them by what hangs on them', () => {
    expect(Object.fromEntries(kinds(things, links, new Set(['88.1/PACK'])))).toEqual({ '88.1/PACK': 'asked', '88.1/CASE': 'carrier', '88.1/LOT': 'lot', '88.1/CARTON': 'item', '88.1/PUMP': 'whole' })
  })
  it('says that what was asked about is that, carrier or not', () => expect(kinds(things, links, new Set(['88.1/CASE'])).get('88.1/CASE')).toBe('asked'))
})

describe('names', () => {
  it.each([['88.610.8005/PACK-1-03-04', 'PACK-1-03-04'], ['urn:epc:id:sgtin:1.2.3', 'urn:epc:id:sgtin:1.2.3'], ['https://id.gs1.org/01/09521568251204/21/10', '01/09521568251204/21/10'], ['88.1/瓶-000001', '瓶-000001'], ['plain', 'plain']])('%s is %s', (a, b) => expect(brief(a)).toBe(b))
  it('cuts the middle of long ones', () => {
    const s = brief('88.1/' + 'x'.repeat(100) + 'END', 20)
    expect(s.length).toBeLessThanOrEqual(20)
    expect(s.endsWith('END')).toBe(true)
  })
  it.each([[['CASE-1-01', 'CASE-1-03'], 'CASE-1-'], [['A', 'B'], ''], [[], ''], [['PACK-1', 'PACK-12'], 'PACK-']])('%j have in common %s', (a, b) => expect(common(a)).toBe(b))
})

describe('a drawing', () => {
  const packs = Array.from({ length: 20 }, (_, i) => thing('88.1/PACK-' + (i + 1), 1))
  const things = [thing('88.1/CARTON', 0), ...packs]
  const links = packs.map((p) => link('88.1/CARTON', p.key, 'transformed'))
  it('puts many alike into one box, with one line that counts', () => {
    const d = draw(things, links, new Set(['88.1/CARTON']))
    expect(d.boxes.map((b) => [b.label, b.members.length])).toEqual([['CARTON', 1], ['PACK-… × 20', 20]])
    expect(d.lines).toMatchObject([{ kind: 'transformed', count: 20 }])
  })
  it('shows a group one by one when it is opened', () => {
    const group = draw(things, links, new Set(['88.1/CARTON'])).boxes.find((b) => b.members.length > 1)!.id
    const d = draw(things, links, new Set(['88.1/CARTON']), new Set([group]))
    expect(d.boxes.length).toBe(21)
    expect(new Set(d.boxes.map((b) => b.x + '/' + b.y)).size).toBe(21)
  })
  it('keeps apart what one owner refused to tell', () => {
    const d = draw([...things, thing('88.1/PACK-99', 1, { stop: 'refused' })], [...links, link('88.1/CARTON', '88.1/PACK-99', 'transformed')], new Set(['88.1/CARTON']))
    expect(d.boxes.find((b) => b.stop === 'refused')?.members).toEqual(['88.1/PACK-99'])
  })
  it('never hides what was asked about in a group', () => {
    const d = draw(packs, [], new Set(packs.map((p) => p.key)))
    expect(d.boxes.length).toBe(20)
  })
  it('draws no line to what is not there, and none from a box to itself', () => {
    const d = draw(things, [...links, link('88.1/CARTON', '88.1/NOWHERE'), link('88.1/PACK-1', '88.1/PACK-2', 'referred')], new Set(['88.1/CARTON']))
    const there = new Set(d.boxes.map((b) => b.id))
    for (const l of d.lines) expect(there.has(l.from) && there.has(l.to) && l.from !== l.to).toBe(true)
  })
  it('goes from left to right with the goods', () => {
    const d = draw([thing('up', -1), thing('me', 0), thing('down', 1)], [link('up', 'me', 'transformed'), link('me', 'down')], new Set(['me']))
    const x = Object.fromEntries(d.boxes.map((b) => [b.id, b.x]))
    expect(x.up!).toBeLessThan(x.me!)
    expect(x.me!).toBeLessThan(x.down!)
  })
  it('draws a part of very many, says how many are left, and does so at once', () => {
    const many = Array.from({ length: 20_000 }, (_, i) => thing('88.1/T-' + i, 1))
    const chain = many.map((m, i) => link(m.key, many[(i + 1) % many.length]!.key, 'referred'))
    const d = draw(many, chain, new Set())
    expect(d.boxes.length).toBe(300)
    expect(d.left).toBe(19_700)
  })
  it('draws a part of very many groups too', () => {
    const groups = Array.from({ length: 1000 }, (_, i) => Array.from({ length: 6 }, (_, k) => thing(`88.1/T-${i}-${k}`, 1, { owner: '88.' + i }))).flat()
    const d = draw(groups, [], new Set())
    expect([d.boxes.length, d.left]).toEqual([300, 4200])
  })
  it('stands a cycle', () => expect(draw([thing('a', 0), thing('b', 1)], [link('a', 'b'), link('b', 'a')], new Set(['a'])).lines.length).toBe(2))
})
