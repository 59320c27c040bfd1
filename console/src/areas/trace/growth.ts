// An answer as it grows: lines come as things are found, each thing, link and event once or again when more of it is known; the last line is the whole.
import type { Answer, Finding, Hop, Line, Link, Signature, Thing, TraceEvent } from './types'

export interface Growth {
  things: Map<string, Thing>
  links: Map<string, Link>
  events: Map<string, TraceEvent>
  hops: Map<string, Hop>
  findings: Finding[]
  chain: Signature[]
  /** Questions that owners were asked so far. */
  asked: number
  depth: number
  lines: number
  /** The whole answer came. */
  whole: boolean
  complete: boolean
  /** Why it broke off, in the user's language. */
  problem: string
}

export function growth(): Growth {
  return { things: new Map(), links: new Map(), events: new Map(), hops: new Map(), findings: [], chain: [], asked: 0, depth: 0, lines: 0, whole: false, complete: false, problem: '' }
}

export function linkKey(l: Link): string {
  return [l.kind, l.from, l.to, l.event, l.since].join('\u0000')
}

/** take adds one line. What the whole answer says replaces what was told on the way. */
export function take(g: Growth, line: Line): Growth {
  g.lines++
  if (line.step) {
    for (const t of line.step.things ?? []) {
      const old = g.things.get(t.key)
      // Found again nearer to what was asked; what an owner told already is not lost over it.
      if (!old || later(t.last, old.last) || Math.abs(t.depth) <= Math.abs(old.depth)) g.things.set(t.key, { ...old, ...t })
    }
    for (const l of line.step.links ?? []) g.links.set(linkKey(l), l)
    for (const e of line.step.events ?? []) g.events.set(e.id, e)
    for (const h of line.step.hops ?? []) g.hops.set(h.owner + '\u0000' + h.round, h)
    g.asked = Math.max(g.asked, line.step.asked)
    g.depth = Math.max(g.depth, Math.abs(line.step.depth))
  }
  if (line.answer) whole(g, line.answer, line.chain)
  if (line.problem) g.problem = line.problem
  return g
}

function whole(g: Growth, a: Answer, chain?: Signature[]) {
  g.things = new Map(a.things.map((t) => [t.key, t]))
  g.links = new Map(a.links.map((l) => [linkKey(l), l]))
  g.events = new Map(a.events.map((e) => [e.id || e.hash || e.time + (e.things ?? []).join(), e]))
  if (a.hops) g.hops = new Map(a.hops.map((h) => [h.owner + '\u0000' + h.round, h]))
  g.findings = a.findings ?? []
  g.chain = chain ?? []
  g.complete = a.complete
  g.whole = true
}

function later(a?: string, b?: string): boolean {
  return when(a) > when(b)
}

/** when is an instant in milliseconds, -Infinity for one that nobody knows: absent, or the year 1. */
export function when(t?: string): number {
  if (!t || t.startsWith('0001-')) return -Infinity
  const n = Date.parse(t)
  return isNaN(n) ? -Infinity : n
}
export function known(t?: string): boolean {
  return when(t) > -Infinity
}

/** One enterprise's part, over all rounds: the worst of what it did, and how much it gave. */
export interface OwnerPart {
  owner: string
  outcome: Hop['outcome']
  things: number
  events: number
  took: number
  rounds: number
  en?: string
  zh?: string
}
const worst: Hop['outcome'][] = ['answered', 'partial', 'refused', 'unreachable', 'bogus']

export function byOwner(hops: Iterable<Hop>): OwnerPart[] {
  const out = new Map<string, OwnerPart>()
  for (const h of hops) {
    const o = out.get(h.owner) ?? { owner: h.owner, outcome: h.outcome, things: 0, events: 0, took: 0, rounds: 0 }
    o.things += h.things ?? 0
    o.events += h.events ?? 0
    o.took = Math.max(o.took, h.took / 1e6)
    o.rounds++
    if (worst.indexOf(h.outcome) >= worst.indexOf(o.outcome)) {
      o.outcome = h.outcome
      o.en = h.en ?? o.en
      o.zh = h.zh ?? o.zh
    }
    out.set(h.owner, o)
  }
  return [...out.values()].sort((a, b) => worst.indexOf(b.outcome) - worst.indexOf(a.outcome) || a.owner.localeCompare(b.owner, 'en', { numeric: true }))
}

/** As an answer is kept in a file. */
export function asAnswer(g: Growth): Answer {
  return { things: [...g.things.values()], links: [...g.links.values()], events: [...g.events.values()], findings: g.findings, hops: [...g.hops.values()], complete: g.complete }
}
