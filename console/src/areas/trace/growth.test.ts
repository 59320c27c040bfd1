import { describe, expect, it } from 'vitest'
import { asAnswer, byOwner, growth, known, take, when } from './growth'
import type { Hop, Link, Thing, TraceEvent } from './types'

const thing = (key: string, depth: number, more: Partial<Thing> = {}): Thing => ({ id: key, key, depth, ...more })
const link = (from: string, to: string, more: Partial<Link> = {}): Link => ({ from, to, kind: 'packed', event: 'e', since: '2026-01-01T00:00:00Z', ...more })
const event = (id: string, time: string): TraceEvent => ({ id, time })
const step = { asked: 1, total: 1, depth: 0 }

describe('an answer as it grows', () => {
  it('keeps each thing, link and event once, however often it is told', () => {
    const g = growth()
    for (let i = 0; i < 3; i++) take(g, { step: { ...step, things: [thing('a', 0)], links: [link('a', 'b')], events: [event('e1', '2026-01-01T00:00:00Z')] } })
    expect([g.things.size, g.links.size, g.events.size]).toEqual([1, 1, 1])
  })
  it('knows two packings of one thing in one container apart by when they began', () => {
    const g = take(growth(), { step: { ...step, links: [link('a', 'b'), link('a', 'b', { event: 'e2', since: '2026-02-01T00:00:00Z' })] } })
    expect(g.links.size).toBe(2)
  })
  it('takes what is found nearer or later, and loses nothing that an owner told before', () => {
    const g = growth()
    take(g, { step: { ...step, things: [thing('a', 3, { owner: '88.1', last: '2026-01-02T00:00:00Z', place: 'P' })] } })
    take(g, { step: { ...step, things: [thing('a', 1, { last: '2026-01-01T00:00:00Z' })] } })
    expect(g.things.get('a')).toMatchObject({ depth: 1, owner: '88.1', place: 'P' })
    take(g, { step: { ...step, things: [thing('a', 5, { last: '2025-01-01T00:00:00Z' })] } })
    expect(g.things.get('a')!.depth).toBe(1)
  })
  it('is replaced by the whole answer at the end', () => {
    const g = take(growth(), { step: { ...step, things: [thing('gone', 1)], events: [event('x', '2026-01-01T00:00:00Z')] } })
    expect(g.whole).toBe(false)
    take(g, { answer: { things: [thing('a', 0)], links: [], events: [], complete: true }, chain: [{ owner: '88.1', holds: true }] })
    expect([...g.things.keys()]).toEqual(['a'])
    expect([g.whole, g.complete, g.chain.length, g.events.size]).toEqual([true, true, 1, 0])
    expect(asAnswer(g)).toMatchObject({ things: [{ key: 'a' }], complete: true })
  })
  it('says why it broke off', () => {
    const g = take(take(growth(), { step: { ...step, things: [thing('a', 0)] } }), { problem: 'nobody answers' })
    expect([g.problem, g.whole, g.things.size]).toEqual(['nobody answers', false, 1])
  })
  it('never counts back what was asked', () => {
    const g = take(take(growth(), { step: { ...step, asked: 7 } }), { step: { ...step, asked: 3 } })
    expect(g.asked).toBe(7)
  })
  it('keeps events without an identifier apart', () => {
    const g = take(growth(), { answer: { things: [], links: [], events: [{ id: '', time: '1', things: ['a'] }, { id: '', time: '1', things: ['b'] }], complete: false } })
    expect(g.events.size).toBe(2)
  })
})

describe('instants', () => {
  it.each([[undefined, false], ['', false], ['0001-01-01T00:00:00Z', false], ['nonsense', false], ['2026-10-26T01:30:00+08:00', true]])('%s known: %s', (t, want) => expect(known(t)).toBe(want))
  it('orders across zones', () => expect(when('2026-10-26T01:30:00+08:00')).toBeLessThan(when('2026-10-25T18:00:00Z')))
})

describe('who answered', () => {
  const hop = (owner: string, outcome: Hop['outcome'], round: number, more: Partial<Hop> = {}): Hop => ({ owner, outcome, round, took: 2e6, things: 1, events: 2, ...more })
  it('shows one row for an enterprise, with the worst of its rounds and the sum of what it gave', () => {
    const list = byOwner([hop('88.2', 'answered', 1), hop('88.1', 'answered', 1), hop('88.1', 'refused', 2, { en: 'no', zh: '否', took: 9e6 }), hop('88.1', 'answered', 3)])
    expect(list.map((p) => [p.owner, p.outcome, p.rounds, p.events, p.took])).toEqual([['88.1', 'refused', 3, 6, 9], ['88.2', 'answered', 1, 2, 2]])
    expect(list[0]).toMatchObject({ en: 'no', zh: '否' })
  })
  it('puts who lied before who was silent before who refused', () => {
    expect(byOwner([hop('a', 'refused', 1), hop('b', 'unreachable', 1), hop('c', 'bogus', 1), hop('d', 'partial', 1)]).map((p) => p.outcome)).toEqual(['bogus', 'unreachable', 'refused', 'partial'])
  })
})
