// Where the steps of a flow stand in its picture, and how the ways between them run: one column, from above, with ways that leave out steps
// as lines at the right and ways back at the left. Lines to the same place share a lane, so that ten ways to one exit are one line.
import type { Plan, PlanStep, PlanWay } from './model'

export const wide = 250
export const high = 72
const gap = 38
const chip = 96
const lane = 20
const pill = 40
const margin = 10

export type Tone = 'plain' | 'warned' | 'refused' | 'diverted' | 'stopped' | 'finish' | 'timer' | 'if'

export interface Node {
  step: string
  y: number
  h: number
  of?: PlanStep
}

export interface Line {
  from: string
  to: string
  tone: Tone
  path: string
  /** Where the arrow ends, and whither it points. */
  end: { x: number; y: number; turn: 0 | 90 | 180 }
  /** What stands at its beginning. */
  label?: { x: number; y: number; way: PlanWay; tone: Tone }
}

export interface Picture {
  width: number
  height: number
  left: number
  nodes: Node[]
  lines: Line[]
  /** Steps that are repeated until something holds. */
  again: Set<string>
}

function toneOf(s: PlanStep, w: PlanWay): Tone {
  if (w.kind === 'finish' || w.kind === 'timer') return w.kind
  if (w.kind === 'check') {
    const v = s.checks?.find((c) => c.when === w.when)?.verdict
    return v === 'refused' || v === 'diverted' || v === 'stopped' || v === 'warned' ? v : 'if'
  }
  return w.when ? 'if' : 'plain'
}

export function draw(plan: Plan): Picture {
  const order = ['start', ...plan.steps.map((s) => s.step), 'end']
  const at = new Map(order.map((s, i) => [s, i]))
  let y = margin
  const nodes: Node[] = order.map((step, i) => {
    const h = i === 0 || i === order.length - 1 ? pill : high
    const n = { step, y, h, of: plan.steps[i - 1] }
    y += h + gap
    return n
  })
  const height = y - gap + margin

  interface Want { from: number; to: number; tone: Tone; way: PlanWay }
  const down: Want[] = []
  const right: Want[] = []
  const left: Want[] = []
  const again = new Set<string>()
  down.push({ from: 0, to: at.get(plan.start) ?? 1, tone: 'plain', way: { to: plan.start, kind: 'next' } })
  const first = down[0]!
  if (first.to !== 1) right.push(down.pop()!)
  for (const s of plan.steps) {
    const from = at.get(s.step)!
    const seen = new Set<string>()
    for (const way of s.ways) {
      const to = at.get(way.to)
      if (to === undefined) continue
      if (to === from) {
        again.add(s.step)
        continue
      }
      const tone = toneOf(s, way)
      if (seen.has(to + tone)) continue
      seen.add(to + tone)
      const want = { from, to, tone, way }
      if (to < from) left.push(want)
      else if (to === from + 1 && (tone === 'plain' || !down.some((d) => d.from === from))) down.push(want)
      else right.push(want)
    }
  }
  const lanes = (list: Want[]) => {
    const places: { key: string; from: number; to: number; lane: number }[] = []
    for (const w of [...list].sort((a, b) => Math.abs(a.to - a.from) - Math.abs(b.to - b.from))) {
      const key = w.to + '|' + w.tone
      const lo = Math.min(w.from, w.to)
      const hi = Math.max(w.from, w.to)
      const same = places.find((p) => p.key === key)
      if (same) {
        same.from = Math.min(same.from, lo)
        same.to = Math.max(same.to, hi)
      } else places.push({ key, from: lo, to: hi, lane: 0 })
    }
    places.sort((a, b) => a.to - a.from - (b.to - b.from))
    places.forEach((p, i) => {
      const taken = new Set(places.slice(0, i).filter((q) => q.from < p.to && p.from < q.to).map((q) => q.lane))
      while (taken.has(p.lane)) p.lane++
    })
    return { of: (w: Want) => places.find((p) => p.key === w.to + '|' + w.tone)!.lane, count: places.reduce((n, p) => Math.max(n, p.lane + 1), 0) }
  }
  const rightLanes = lanes(right)
  const leftLanes = lanes(left)
  const x0 = margin + (leftLanes.count ? leftLanes.count * lane + 16 : 0)
  const x1 = x0 + wide
  const mid = x0 + wide / 2
  const lines: Line[] = []
  const edge = (n: Node, side: 'left' | 'right') => (n.of ? (side === 'left' ? x0 : x1) : side === 'left' ? mid - 60 : mid + 60)

  for (const w of down) {
    const a = nodes[w.from]!
    const b = nodes[w.to]!
    lines.push({
      from: a.step, to: b.step, tone: w.tone, path: `M${mid} ${a.y + a.h}V${b.y - 7}`, end: { x: mid, y: b.y, turn: 0 },
      label: w.tone === 'plain' ? undefined : { x: mid + 10, y: a.y + a.h + gap / 2, way: w.way, tone: w.tone },
    })
  }
  // Where the ways leave a step, one below the other; where they arrive, likewise.
  const leaving = new Map<number, number>()
  const arriving = new Map<number, string[]>()
  const from = (w: Want, total: number) => {
    const n = leaving.get(w.from) ?? 0
    leaving.set(w.from, n + 1)
    const a = nodes[w.from]!
    return a.y + (a.h * (n + 1)) / (total + 1)
  }
  const into = (w: Want, keys: string[]) => {
    const b = nodes[w.to]!
    const i = keys.indexOf(w.tone)
    return b.y + (b.h * (i + 1)) / (keys.length + 1)
  }
  for (const [list, side] of [[right, 'right'], [left, 'left']] as const) {
    leaving.clear()
    arriving.clear()
    for (const w of list) {
      const k = arriving.get(w.to) ?? []
      if (!k.includes(w.tone)) arriving.set(w.to, [...k, w.tone])
    }
    for (const w of list) {
      const a = nodes[w.from]!
      const b = nodes[w.to]!
      const ya = from(w, list.filter((o) => o.from === w.from).length)
      const yb = into(w, arriving.get(w.to)!)
      const xa = edge(a, side)
      const xb = edge(b, side)
      if (side === 'right') {
        const x = x1 + chip + rightLanes.of(w) * lane
        lines.push({ from: a.step, to: b.step, tone: w.tone, path: `M${xa} ${ya}H${x}V${yb}H${xb + 7}`, end: { x: xb, y: yb, turn: 90 }, label: w.tone === 'plain' ? undefined : { x: x1 + 8, y: ya, way: w.way, tone: w.tone } })
      } else {
        const x = x0 - 14 - leftLanes.of(w) * lane
        lines.push({ from: a.step, to: b.step, tone: w.tone, path: `M${xa} ${ya}H${x}V${yb}H${xb - 7}`, end: { x: xb, y: yb, turn: 180 } })
      }
    }
  }
  return { width: x1 + (rightLanes.count ? chip + rightLanes.count * lane : margin), height, left: x0, nodes, lines, again }
}
