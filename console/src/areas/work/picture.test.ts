import { describe, expect, it } from 'vitest'
import { apart, decided, isIdentifier, type Plan, type PlanStep, type PlanWay } from './model'
import { draw } from './picture'

function step(name: string, ways: PlanWay[], x: Partial<PlanStep> = {}): PlanStep {
  return { step: name, title: name, ways, open: 0, held: 0, ...x }
}
function plan(...steps: PlanStep[]): Plan {
  return { name: 's/f', title: 'F', solution: 's', start: steps[0]!.step, begin: true, open: 0, held: 0, steps }
}
const next = (to: string): PlanWay => ({ to, kind: 'next' })

describe('the picture of a flow', () => {
  it('goes down where nothing is left out', () => {
    const p = draw(plan(step('a', [next('b')]), step('b', [next('end')])))
    expect(p.nodes.map((n) => n.step)).toEqual(['start', 'a', 'b', 'end'])
    expect(p.lines.map((l) => [l.from, l.to, l.end.turn])).toEqual([['start', 'a', 0], ['a', 'b', 0], ['b', 'end', 0]])
    for (let i = 1; i < p.nodes.length; i++) expect(p.nodes[i]!.y).toBeGreaterThan(p.nodes[i - 1]!.y + p.nodes[i - 1]!.h)
  })
  it('says once that a step is repeated, and draws ways back at the left', () => {
    const p = draw(plan(step('a', [{ to: 'a', kind: 'again', when: 'x' }, next('b')]), step('b', [{ to: 'a', kind: 'check', when: 'y' }, next('end')], { checks: [{ when: 'y', verdict: 'refused' }] })))
    expect([...p.again]).toEqual(['a'])
    const back = p.lines.find((l) => l.from === 'b' && l.to === 'a')!
    expect(back.tone).toBe('refused')
    expect(back.end).toMatchObject({ x: p.left, turn: 180 })
    expect(p.left).toBeGreaterThan(10)
  })
  it('joins ways to one place with one verdict, and keeps others apart', () => {
    const check = (w: string, to: string): PlanWay => ({ to, kind: 'check', when: w })
    const checks = [{ when: 'lost', verdict: 'refused' as const }, { when: 'odd', verdict: 'refused' as const }, { when: 'bad', verdict: 'diverted' as const }]
    const ways = (to: string) => [next(to), check('lost', 'end'), check('odd', 'end'), check('bad', 'exit')]
    const p = draw(plan(step('a', ways('b'), { checks }), step('b', ways('end'), { checks }), step('exit', [next('end')], { auto: true })))
    const ends = p.lines.filter((l) => l.to === 'end' && l.tone === 'refused')
    expect(ends.map((l) => l.from)).toEqual(['a', 'b'])
    const lanes = ends.map((l) => /H([\d.]+)V/.exec(l.path)![1])
    expect(new Set(lanes).size).toBe(1)
    const exits = p.lines.filter((l) => l.to === 'exit' && l.tone === 'diverted')
    expect(exits.length).toBe(2)
    expect(/H([\d.]+)V/.exec(exits[0]!.path)?.[1]).not.toBe(lanes[0])
    for (const l of p.lines) for (const x of l.path.matchAll(/[MH]([\d.]+)/g)) expect(Number(x[1])).toBeLessThanOrEqual(p.width)
  })
  it('passes over a way to a step that is not there', () => {
    expect(draw(plan(step('a', [next('nowhere')]))).lines.map((l) => l.to)).toEqual(['a'])
  })
})

describe('small things', () => {
  it('finds the check that decided', () => {
    expect(decided([{ check: 'a', outcome: 'false' }, { check: 'b', outcome: 'true' }])?.check).toBe('b')
    expect(decided([{ check: 'a', outcome: 'false' }])).toBeUndefined()
    expect(decided(null)).toBeUndefined()
  })
  it('knows identifiers from private codes', () => {
    expect(isIdentifier('88.608.24061301/X35TJN34HRAK')).toBe(true)
    for (const x of ['6901234567892', 'https://a.cn/88.1/x', '', undefined, 'a/b']) expect(isIdentifier(x)).toBe(false)
  })
  it('says how long something took', () => {
    const say = (u: string, n: number) => n + u
    expect(apart('2026-11-23T10:00:00Z', '2026-11-23T10:00:00.250Z', say)).toBe('250ms')
    expect(apart('2026-11-23T10:00:00Z', '2026-11-23T10:02:05Z', say)).toBe('2min 5s')
    expect(apart('2026-11-23T10:00:00Z', '2026-11-25T13:00:00Z', say)).toBe('2d 3h')
    expect(apart('2026-11-23T10:00:00Z', '2026-11-23T09:00:00Z', say)).toBe('0ms')
    expect(apart('', '', say)).toBe('')
  })
})
