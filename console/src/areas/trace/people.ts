// Siblings and contacts in the order in which people look at them.
import { brief } from './drawing'
import type { Contact, Sibling } from './types'

/** The beginning of a suffix that tells what a thing is, as enterprises number things: PERSON of 88.610.8002/PERSON-INSPECTOR-1. */
export function series(id: string): string {
  const s = brief(id, 1000)
  const m = /^[\p{L}]+/u.exec(s)
  return m ? m[0] : s.slice(0, 3)
}

export interface Sharing {
  id: string
  key: string
  whys: { why: string; of?: string; event: string; since: string; until?: string }[]
}
/** gather puts all that a sibling has in common into one row. */
export function gather(list: Sibling[]): Sharing[] {
  const out = new Map<string, Sharing>()
  for (const s of list) {
    const o = out.get(s.key) ?? { id: s.id, key: s.key, whys: [] }
    o.whys.push({ why: s.why, of: s.of, event: s.event, since: s.since, until: s.until })
    out.set(s.key, o)
  }
  return [...out.values()].sort((a, b) => b.whys.length - a.whys.length || a.id.localeCompare(b.id, 'en', { numeric: true }))
}

/** Contacts by the series of their identifiers, the smallest series first: of ten thousand goods and four people, the people come first. */
export function bySeries(list: Contact[]): { name: string; contacts: Contact[] }[] {
  const out = new Map<string, Contact[]>()
  for (const c of list) {
    const name = series(c.id)
    const g = out.get(name)
    if (g) g.push(c)
    else out.set(name, [c])
  }
  return [...out.entries()].map(([name, contacts]) => ({ name, contacts })).sort((a, b) => Number(/^person|人/iu.test(b.name)) - Number(/^person|人/iu.test(a.name)) || a.contacts.length - b.contacts.length || a.name.localeCompare(b.name))
}
