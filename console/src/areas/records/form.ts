// From what people type, or what stands in a file's cell, to a property as templates take it.
import type { Fault } from '@/api'
import { text, type Item, type Template, type Value } from './model'

export type Typed = Record<string, string>

/** An input that cannot be made into the property at all. */
export class Unfit extends Error {}

const yes = new Set(['true', '1', 'yes', 'y', '是', '真', '有'])
const no = new Set(['false', '0', 'no', 'n', '否', '假', '无'])

/** toProperty makes one property of a text; undefined when there is none. It throws Unfit with a key of the words. */
export function toProperty(item: Item, typed: string): unknown {
  const s = typed.trim()
  if (s === '') return undefined
  switch (item.type) {
    case 'boolean': {
      const x = s.toLowerCase()
      if (yes.has(x)) return true
      if (no.has(x)) return false
      throw new Unfit('boolean')
    }
    case 'number':
      // Thousands are often separated in tables; templates take plain decimal text.
      return /^[+-]?\d{1,3}(,\d{3})+(\.\d+)?$/.test(s) ? s.replaceAll(',', '').replace(/^\+/, '') : s
    case 'date':
      return toDate(s, item.format ?? 'date')
    case 'enumeration': {
      const c = item.values?.find((x) => x.code === s) ?? item.values?.find((x) => Object.values(x.names ?? {}).includes(s))
      return c ? c.code : s
    }
    case 'schema':
      try {
        return JSON.parse(s)
      } catch {
        throw new Unfit('json')
      }
    case 'file':
    case 'reference':
      if (!item.many) return s
      if (s.startsWith('[')) {
        try {
          const x = JSON.parse(s)
          if (Array.isArray(x)) return x.map(String)
        } catch {
          throw new Unfit('json')
        }
      }
      return s.split(/[\n;；]/).map((x) => x.trim()).filter(Boolean)
  }
  return typed.trim() === '' ? undefined : typed
}

/** toDate takes the ways in which tables in China write dates: 2026/11/2, 2026.11.2, 20261102, 2026年11月2日. */
export function toDate(s: string, format: string): string {
  const two = (x: string) => x.padStart(2, '0')
  const day = /^(\d{4})(?:[-/.年](\d{1,2})[-/.月](\d{1,2})日?|(\d{2})(\d{2}))(?:[ T]+(\d{1,2}:\d{2}(?::\d{2})?(?:\.\d+)?(?:Z|[+-]\d{2}:?\d{2})?))?$/i.exec(s)
  if (day) {
    const d = `${day[1]}-${two(day[2] ?? day[4]!)}-${two(day[3] ?? day[5]!)}`
    if (format === 'date') return day[6] && !/^0?0:00(:00)?$/.test(day[6]) ? s : d
    if (format === 'year-month') return d.slice(0, 7)
    if (format === 'date-time') {
      let time = day[6] ?? '00:00:00'
      if (/^\d:/.test(time)) time = '0' + time
      if (/^\d{2}:\d{2}(?!:)/.test(time)) time = time.slice(0, 5) + ':00' + time.slice(5)
      return d + 'T' + (/(Z|[+-]\d{2}:?\d{2})$/i.test(time) ? time : time + zone())
    }
  }
  const month = /^(\d{4})[-/.年](\d{1,2})月?$/.exec(s)
  if (month && format === 'year-month') return `${month[1]}-${two(month[2]!)}`
  if (format === 'year') return s.replace(/年$/, '')
  return s
}

// The zone of this computer, as +08:00: a time without one is meant here.
function zone(): string {
  const m = -new Date().getTimezoneOffset()
  const a = Math.abs(m)
  return (m < 0 ? '-' : '+') + String(Math.floor(a / 60)).padStart(2, '0') + ':' + String(a % 60).padStart(2, '0')
}

export interface Made {
  properties: Record<string, unknown>
  /** By property, a key of the words. */
  unfit: Record<string, string>
}

export function toProperties(template: Template, typed: Typed): Made {
  const made: Made = { properties: {}, unfit: {} }
  for (const item of template.items) {
    const s = typed[item.name]
    if (s === undefined || item.disabled) continue
    try {
      const p = toProperty(item, s)
      if (p !== undefined) made.properties[item.name] = p
    } catch (e) {
      if (!(e instanceof Unfit)) throw e
      made.unfit[item.name] = e.message
    }
  }
  return made
}

/** dataOf is a property as the text that stands in a record. */
export function dataOf(p: unknown): string {
  return typeof p === 'string' ? p : JSON.stringify(p)
}

/** typedOf is the other way: what a form shows of a record. */
export function typedOf(template: Template, values: Value[]): Typed {
  const out: Typed = {}
  for (const item of template.items) {
    const v = values.find((x) => x.index === item.index)
    if (!v) continue
    const s = text(v)
    out[item.name] = s
    if (item.many) {
      try {
        const x = JSON.parse(s)
        if (Array.isArray(x)) out[item.name] = x.map(String).join('\n')
      } catch {
        // As it stands.
      }
    } else if (item.type === 'schema') {
      try {
        out[item.name] = JSON.stringify(JSON.parse(s), null, 2)
      } catch {
        // As it stands.
      }
    }
  }
  return out
}

/** perProperty sorts what a refusal says by the property it names; what names none is under ''. */
export function perProperty(f: Fault | null): Record<string, string[]> {
  const out: Record<string, string[]> = {}
  for (const e of (f?.errors ?? []) as { property?: string; location?: string; message?: string }[]) {
    const m = /properties\.([A-Za-z0-9_-]+)/.exec(e.location ?? '')
    ;(out[e.property || m?.[1] || ''] ??= []).push(e.message ?? '')
  }
  return out
}
