import type { FieldView } from './types'

export type Values = Record<string, string | boolean>

/** A local time as an input shows it, of an instant. */
function local(iso: string): string {
  const d = new Date(iso)
  if (Number.isNaN(+d)) return ''
  return new Date(+d - d.getTimezoneOffset() * 60_000).toISOString().slice(0, 16)
}

/** An instant with this device's offset from UTC, of a local time. */
function instant(value: string): string {
  const d = new Date(value)
  if (Number.isNaN(+d)) return value
  const off = -d.getTimezoneOffset()
  const two = (n: number) => String(Math.trunc(Math.abs(n))).padStart(2, '0')
  return `${value.length === 16 ? value + ':00' : value}${off < 0 ? '-' : '+'}${two(off / 60)}:${two(off % 60)}`
}

/** begin is a form with what is known of it filled in. */
export function begin(fields: FieldView[], was: Values = {}): Values {
  const out: Values = {}
  for (const f of fields) {
    const v = f.value
    if (was[f.field] !== undefined && was[f.field] !== '') out[f.field] = was[f.field]!
    else if (f.type === 'boolean') out[f.field] = v === true || v === 'true'
    else if (v === undefined || v === null) out[f.field] = ''
    else if (f.type === 'datetime') out[f.field] = local(String(v))
    else if (f.type === 'date') out[f.field] = String(v).slice(0, 10)
    else out[f.field] = typeof v === 'object' ? JSON.stringify(v) : String(v)
  }
  return out
}

const signs: Record<string, string> = { Cel: '°C', CEL: '°C', '[degF]': '°F', K: 'K', um: 'µm', m2: 'm²', m3: 'm³', mL: 'mL', '[ppm]': 'ppm', deg: '°', Ohm: 'Ω' }

/** unitSign is how people write a unit that a form names by its code of UCUM. */
export function unitSign(unit: string | undefined): string {
  return unit ? (signs[unit] ?? unit) : ''
}

export interface Wrong {
  key: 'required' | 'number' | 'integer' | 'bounds' | 'length' | 'pattern'
  min?: number
  max?: number
}

/** wrong says what is wrong with a field before anybody is asked; the node judges again. */
export function wrong(f: FieldView, value: string | boolean | undefined): Wrong | undefined {
  if (f.type === 'boolean') return undefined
  const v = String(value ?? '').trim()
  if (v === '') return f.required ? { key: 'required' } : undefined
  if (f.type === 'number' || f.type === 'integer') {
    const n = Number(v)
    if (!Number.isFinite(n)) return { key: 'number' }
    if (f.type === 'integer' && !Number.isInteger(n)) return { key: 'integer' }
    if ((f.min !== undefined && n < f.min) || (f.max !== undefined && n > f.max)) return { key: 'bounds', min: f.min, max: f.max }
    return undefined
  }
  const n = [...v].length
  if ((f.min !== undefined && n < f.min) || (f.max !== undefined && n > f.max)) return { key: 'length', min: f.min, max: f.max }
  if (f.pattern) {
    let p: RegExp | undefined
    try {
      p = new RegExp(f.pattern, 'u')
    } catch {
      // A pattern that only the node can read: it will say.
    }
    if (p && !p.test(v)) return { key: 'pattern' }
  }
  return undefined
}

/** filled is what is sent: fields without a value are left out. */
export function filled(fields: FieldView[], values: Values): Record<string, unknown> {
  const out: Record<string, unknown> = {}
  for (const f of fields) {
    const v = values[f.field]
    if (f.type === 'boolean') out[f.field] = v === true
    else {
      const text = String(v ?? '').trim()
      if (text === '') continue
      out[f.field] = f.type === 'number' || f.type === 'integer' ? Number(text) : f.type === 'datetime' ? instant(text) : text
    }
  }
  return out
}
