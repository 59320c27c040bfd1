// From an answer to what is drawn: what kind a thing is, which things stand for many alike, and where each stands.
import type { Hop, Link, LinkKind, Stop, Thing } from './types'

/** asked: named in the question; lot: a class or lot with a quantity; carrier: something is or was in it; whole: parts are fixed to it; item: any other. */
export type Kind = 'asked' | 'lot' | 'carrier' | 'whole' | 'item'

export interface Box {
  id: string
  label: string
  kind: Kind
  depth: number
  /** Keys of the things that it stands for: one, or many alike. */
  members: string[]
  owner?: string
  stop?: Stop
  outcome?: Hop['outcome']
  x: number
  y: number
}
export interface Line {
  id: string
  from: string
  to: string
  kind: LinkKind
  count: number
  ended: boolean
}
export interface Drawing {
  boxes: Box[]
  lines: Line[]
  /** Things that are not shown, since there are too many. */
  left: number
}

export function kinds(things: Iterable<Thing>, links: Iterable<Link>, asked: ReadonlySet<string>): Map<string, Kind> {
  const out = new Map<string, Kind>()
  const carriers = new Set<string>()
  const wholes = new Set<string>()
  for (const l of links) {
    if (l.kind === 'packed' || l.kind === 'unpacked') carriers.add(l.to)
    if (l.kind === 'assembled') wholes.add(l.to)
  }
  for (const t of things) {
    out.set(t.key, asked.has(t.key) || asked.has(t.id) ? 'asked' : t.class ? 'lot' : carriers.has(t.key) ? 'carrier' : wholes.has(t.key) ? 'whole' : 'item')
  }
  return out
}

/** The suffix of an identifier, which tells people more than its prefix. */
export function brief(id: string, most = 26): string {
  let s = id
  if (/^https?:\/\//.test(s)) s = s.replace(/^https?:\/\/[^/]+\//, '')
  else if (!s.startsWith('urn:')) s = s.slice(s.indexOf('/') + 1) || s
  return s.length > most ? s.slice(0, most / 2 - 1) + '…' + s.slice(-most / 2) : s
}

/** What two names begin with alike, cut back to a whole part: CASE-1-01 and CASE-1-03 have CASE-1- in common. */
export function common(names: string[]): string {
  if (!names.length) return ''
  let s = names[0]!
  for (const n of names) while (!n.startsWith(s)) s = s.slice(0, -1)
  return s.replace(/[^-_./:]*$/, '')
}

const most = 300
export const column = 165
export const row = 88

/**
 * draw groups and places. Things that hang on the same others by the same links and stopped for the same reason stand as one box when they are more than
 * `alike`; a group whose id is in `open` is shown one by one. Columns go by the distance from what was asked, upstream to the left.
 */
export function draw(things: Thing[], links: Link[], asked: ReadonlySet<string>, open: ReadonlySet<string> = new Set(), alike = 4): Drawing {
  const kind = kinds(things, links, asked)
  const around = new Map<string, Set<string>>()
  for (const t of things) around.set(t.key, new Set())
  for (const l of links) {
    around.get(l.from)?.add('>' + l.kind + l.to)
    around.get(l.to)?.add('<' + l.kind + l.from)
  }
  const groups = new Map<string, Thing[]>()
  for (const t of things) {
    const k = kind.get(t.key)
    const id = k === 'asked' ? 'one\u0000' + t.key : [t.depth, k, t.stop ?? '', t.owner ?? '', ...[...around.get(t.key)!].sort()].join('\u0000')
    const g = groups.get(id)
    if (g) g.push(t)
    else groups.set(id, [t])
  }
  let boxes: Box[] = []
  const boxOf = new Map<string, string>()
  let left = 0
  // The nearest first: what was asked about is drawn, whatever is left out.
  for (const [id, members] of [...groups].sort((a, b) => Math.abs(a[1][0]!.depth) - Math.abs(b[1][0]!.depth))) {
    const gid = 'group:' + hash(id)
    if (members.length > alike && !open.has(gid)) {
      if (boxes.length >= most) {
        left += members.length
        continue
      }
      const first = members[0]!
      const start = common(members.map((m) => brief(m.id, 200)))
      boxes.push({ id: gid, label: `${start ? start + '…' : brief(first.id)} × ${members.length}`, kind: kind.get(first.key)!, depth: first.depth, members: members.map((m) => m.key), owner: first.owner, stop: first.stop, x: 0, y: 0 })
      for (const m of members) boxOf.set(m.key, gid)
      continue
    }
    for (const m of members) {
      if (boxes.length >= most) {
        left++
        continue
      }
      boxes.push({ id: m.key, label: brief(m.id), kind: kind.get(m.key)!, depth: m.depth, members: [m.key], owner: m.owner, stop: m.stop, x: 0, y: 0 })
      boxOf.set(m.key, m.key)
    }
  }
  const lines = new Map<string, Line>()
  for (const l of links) {
    const from = boxOf.get(l.from)
    const to = boxOf.get(l.to)
    if (!from || !to || from === to) continue
    const id = l.kind + '\u0000' + from + '\u0000' + to
    const old = lines.get(id)
    if (old) {
      old.count++
      old.ended = old.ended && Boolean(l.until)
    } else lines.set(id, { id, from, to, kind: l.kind, count: 1, ended: Boolean(l.until) })
  }
  place(boxes, [...lines.values()])
  return { boxes, lines: [...lines.values()], left }
}

/** place sets columns by depth, and in each the order by the middle of what the boxes hang on, which keeps lines short. */
function place(boxes: Box[], lines: Line[]) {
  const columns = new Map<number, Box[]>()
  for (const b of boxes) columns.set(b.depth, [...(columns.get(b.depth) ?? []), b])
  const at = new Map(boxes.map((b) => [b.id, b]))
  const near = new Map<string, Box[]>()
  for (const l of lines) {
    const a = at.get(l.from)!
    const b = at.get(l.to)!
    near.set(a.id, [...(near.get(a.id) ?? []), b])
    near.set(b.id, [...(near.get(b.id) ?? []), a])
  }
  const order = [...columns.keys()].sort((a, b) => Math.abs(a) - Math.abs(b) || a - b)
  for (const d of order) {
    const col = columns.get(d)!
    const middle = (b: Box) => {
      const done = (near.get(b.id) ?? []).filter((x) => Math.abs(x.depth) < Math.abs(d))
      return done.length ? done.reduce((s, x) => s + x.y, 0) / done.length : 0
    }
    const weight = new Map(col.map((b) => [b, middle(b)]))
    col.sort((a, b) => weight.get(a)! - weight.get(b)! || a.label.localeCompare(b.label, 'en', { numeric: true }))
    col.forEach((b, i) => {
      b.x = d * column
      b.y = (i - (col.length - 1) / 2) * row
    })
  }
}

function hash(s: string): string {
  let h = 5381
  for (let i = 0; i < s.length; i++) h = ((h << 5) + h + s.charCodeAt(i)) >>> 0
  return h.toString(36) + s.length.toString(36)
}
