import { describe, expect, it } from 'vitest'
import { lane, Memory, NotSent, Queue, settled, skew, type Send } from './queue'
import type { Result, Scan } from './types'

/** A node that takes each number once, and can be made to lose its answers. */
class Node {
  taken: Scan[] = []
  answers = new Map<string, Result>()
  batches: number[] = []
  loseNext = 0
  away = false
  say: (s: Scan) => Result = (s) => ({ id: s.id, run: 'R-' + s.id, verdict: 'passed' })
  send: Send = async (scans) => {
    if (this.away) throw new NotSent('away', true)
    this.batches.push(scans.length)
    const out = scans.map((s) => {
      const was = this.answers.get(s.id!)
      if (was) return { ...was, duplicate: true }
      const r = this.say(s)
      if (!r.error && r.verdict !== 'asking') {
        this.taken.push(s)
        this.answers.set(s.id!, r)
      }
      return r
    })
    if (this.loseNext > 0) {
      this.loseNext--
      throw new NotSent('the answer was lost', true)
    }
    return out
  }
}

function world(batch = 3) {
  const node = new Node()
  const storage = new Memory()
  let n = 0
  let clock = Date.parse('2026-11-23T08:00:00Z')
  const make = () => new Queue({ storage, send: node.send, batch, newId: () => `id-${++n}`, now: () => new Date((clock += 1000)) })
  return { node, storage, make, queue: make() }
}

describe('queue', () => {
  it('sends in the order of scanning, in batches, once', async () => {
    const { node, queue } = world()
    for (let i = 0; i < 8; i++) await queue.add('u', { code: 'C' + i })
    expect(await queue.flush('u')).toBe(8)
    expect(node.taken.map((s) => s.code)).toEqual(['C0', 'C1', 'C2', 'C3', 'C4', 'C5', 'C6', 'C7'])
    expect(node.batches).toEqual([3, 3, 2])
    expect(await queue.flush('u')).toBe(0)
    expect(node.taken).toHaveLength(8)
  })

  it('keeps number and time of a scan however often it is sent, and says when it was sent', async () => {
    const { node, queue } = world()
    const x = await queue.add('u', { code: 'A' })
    node.away = true
    await queue.flush('u')
    expect(queue.fault?.message).toBe('away')
    node.away = false
    await queue.flush('u')
    expect(node.taken[0]!.id).toBe(x.scan.id)
    expect(node.taken[0]!.at).toBe('2026-11-23T08:00:01.000Z')
    expect(Date.parse(node.taken[0]!.sent!)).toBeGreaterThan(Date.parse(node.taken[0]!.at!))
  })

  it('does a scan once when the answer to its batch was lost', async () => {
    const { node, queue } = world()
    for (let i = 0; i < 5; i++) await queue.add('u', { code: 'C' + i })
    node.loseNext = 1
    await queue.flush('u')
    expect(queue.waiting()).toHaveLength(5)
    await queue.flush('u')
    expect(node.taken.map((s) => s.code)).toEqual(['C0', 'C1', 'C2', 'C3', 'C4'])
    expect(queue.items.filter((x) => x.result?.duplicate)).toHaveLength(3)
    expect(queue.items.every((x) => x.state === 'done')).toBe(true)
  })

  it('survives the page: what waited waits, what was answered is answered, and numbers go on', async () => {
    const { node, queue, make } = world()
    await queue.add('u', { code: 'A' })
    await queue.flush('u')
    await queue.add('u', { code: 'B' })
    const next = make()
    await next.load()
    expect(next.items.map((x) => [x.scan.code, x.state])).toEqual([['A', 'done'], ['B', 'waiting']])
    const c = await next.add('u', { code: 'C' })
    expect(c.no).toBeGreaterThan(next.items[1]!.no)
    await next.flush('u')
    expect(node.taken.map((s) => s.code)).toEqual(['A', 'B', 'C'])
  })

  it('sends nobody else’s scans', async () => {
    const { node, queue } = world()
    await queue.add('li', { code: 'A' })
    await queue.add('wang', { code: 'B' })
    await queue.flush('wang')
    expect(node.taken.map((s) => s.code)).toEqual(['B'])
    expect(queue.waiting('li')).toHaveLength(1)
  })

  it('shows what a person must look at: conflicts, refusals, questions', async () => {
    const { node, queue } = world(10)
    node.say = (s) =>
      s.code === 'conflict' ? { id: s.id, error: 'somebody else did it', kind: 'conflict' } : s.code === 'no' ? { id: s.id, verdict: 'refused' } : s.code === 'form' && !s.form ? { id: s.id, verdict: 'asking', form: [] } : { id: s.id, run: 'R', verdict: 'warned' }
    for (const code of ['conflict', 'no', 'form', 'good']) await queue.add('u', { code })
    await queue.flush('u')
    expect(queue.items.map((x) => x.state)).toEqual(['look', 'look', 'look', 'done'])
    const asked = queue.items[2]!
    await queue.amend(asked, { form: { n: 3 } })
    await queue.flush('u')
    expect(asked.state).toBe('done')
    expect(node.taken.find((s) => s.code === 'form')).toMatchObject({ id: asked.scan.id, form: { n: 3 } })
  })

  it('holds back only the run of a scan that has to wait', async () => {
    const { node, queue } = world(1)
    let busy = true
    node.say = (s) => (busy && s.code === 'A' ? { id: s.id, error: 'busy', kind: 'busy' } : { id: s.id, run: 'R', verdict: 'passed' })
    const a = await queue.add('u', { code: 'A' })
    await queue.add('u', { code: 'A2', run: '@' + a.scan.id })
    await queue.add('u', { code: 'B' })
    await queue.flush('u')
    expect(node.taken.map((s) => s.code)).toEqual(['B'])
    busy = false
    await queue.flush('u')
    expect(node.taken.map((s) => s.code)).toEqual(['B', 'A', 'A2'])
  })

  it('finds the one scan for which a whole batch is refused', async () => {
    const { node, queue } = world(10)
    const good = node.send
    const q = new Queue({ storage: new Memory(), batch: 10, send: async (l) => { if (l.some((s) => s.code === 'bad')) throw new NotSent('body.scans[1].code is too long', false); return good(l) } })
    for (const code of ['A', 'bad', 'B']) await q.add('u', { code })
    await q.flush('u')
    expect(q.items.map((x) => x.state)).toEqual(['done', 'look', 'done'])
    expect(q.items[1]!.result!.error).toContain('too long')
    void queue
  })

  it('stops at a session that is over, and loses nothing', async () => {
    const q = new Queue({ storage: new Memory(), send: async () => { throw new NotSent('log in', false, true) } })
    await q.add('u', { code: 'A' })
    await q.flush('u')
    expect(q.fault?.login).toBe(true)
    expect(q.waiting()).toHaveLength(1)
  })

  it('asks a person in the end when the node fails at it again and again', () => {
    expect(settled({ error: 'x', kind: 'internal' }, 1)).toBe('waiting')
    expect(settled({ error: 'x', kind: 'internal' }, 5)).toBe('look')
    expect(settled({ error: 'x', kind: 'busy' }, 500)).toBe('waiting')
    expect(settled({ error: 'x', kind: 'forbidden' })).toBe('look')
    expect(settled({ verdict: 'stopped' })).toBe('look')
  })

  it('drops and restores', async () => {
    const { queue, make } = world()
    const a = await queue.add('u', { code: 'A' })
    await queue.add('u', { code: 'B' })
    await queue.drop(a)
    expect(queue.items.map((x) => x.scan.code)).toEqual(['B'])
    await queue.restore(a)
    expect(queue.items.map((x) => x.scan.code)).toEqual(['A', 'B'])
    const next = make()
    await next.load()
    expect(next.items).toHaveLength(2)
  })

  it('keeps so many of what is done, and all that waits or is to be looked at', async () => {
    const node = new Node()
    const q = new Queue({ storage: new Memory(), send: node.send, keep: 2 })
    for (let i = 0; i < 6; i++) await q.add('u', { code: 'C' + i })
    await q.flush('u')
    expect(q.items.map((x) => x.scan.code)).toEqual(['C4', 'C5'])
  })
})

it('knows the lane of a scan', () => {
  expect(lane({ id: 'a' })).toBe(lane({ id: 'b', run: '@a' }))
  expect(lane({ id: 'c', run: 'R1' })).toBe(lane({ id: 'd', run: 'R1' }))
  expect(lane({ id: 'a' })).not.toBe(lane({ id: 'b' }))
})

it('measures the clock', () => {
  const at = Date.parse('2026-11-23T08:00:00Z')
  expect(skew('Mon, 23 Nov 2026 08:00:00 GMT', at, at + 200)).toBe(0)
  expect(skew('Mon, 23 Nov 2026 08:00:00 GMT', at + 600_000, at + 600_200)).toBe(600)
  expect(skew('Mon, 23 Nov 2026 08:00:00 GMT', at - 90_000, at - 90_000)).toBe(-90)
  expect(skew(null, at, at)).toBeUndefined()
  expect(skew('yesterday', at, at)).toBeUndefined()
})
