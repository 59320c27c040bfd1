// Rows of a table made into writes, and sent by the thousand.
import { raw } from '@/api'
import { dataOf, toProperties } from './form'
import { indexTemplate, indexTemplateID, type Template } from './model'
import { cell, type Table } from './table'

export interface Plan {
  template: Template
  prefix: string
  /** Which column holds the suffix. */
  suffix: number
  /** By property, which column it is taken from; -1 for none. */
  columns: Record<string, number>
  overwrite: boolean
}

export interface Trouble {
  /** The row in the file, the first after the heading being 2. */
  row: number
  id: string
  message: string
}

export interface Write {
  row: number
  id: string
  values: { index: number; type: string; data: { format: 'string'; value: string } }[]
}

const plain = (s: string) => s.toLowerCase().replace(/[\s_\-()（）*:：]/g, '')

/** match finds the column of each property by what it is called in either language. */
export function match(template: Template, columns: string[]): Record<string, number> {
  const names = columns.map(plain)
  const out: Record<string, number> = {}
  for (const i of template.items) {
    if (i.disabled) continue
    out[i.name] = [i.name, ...Object.values(i.names ?? {})].map((n) => names.indexOf(plain(n))).find((n) => n >= 0) ?? -1
  }
  return out
}

/** suffixColumn is the column that looks like the identifier. */
export function suffixColumn(columns: string[]): number {
  const known = ['标识', '标识编码', '后缀', '编码', '编号', 'handle', 'identifier', 'id', 'suffix', 'code']
  const names = columns.map(plain)
  for (const k of known) if (names.includes(k)) return names.indexOf(k)
  return 0
}

/** write makes one row's record; what cannot be made is told by t's keys. */
export function write(plan: Plan, row: string[], number: number, t: (key: string) => string): Write | Trouble {
  const s = (row[plan.suffix] ?? '').trim()
  const whole = s.toLowerCase().startsWith(plan.prefix.toLowerCase() + '/')
  const id = whole ? s : plan.prefix + '/' + s
  if (!s || s.length > 500 || /[\u0000-\u001f]/.test(s)) return { row: number, id: s, message: t('records.imported.noSuffix') }
  const made = toProperties(plan.template, Object.fromEntries(Object.entries(plan.columns).filter(([, c]) => c >= 0).map(([name, c]) => [name, row[c] ?? ''])))
  const unfit = Object.entries(made.unfit)[0]
  if (unfit) return { row: number, id, message: unfit[0] + ': ' + t('records.unfit.' + unfit[1]) }
  const value = (index: number, type: string, x: string) => ({ index, type, data: { format: 'string' as const, value: x } })
  const values = [value(indexTemplateID, 'TEMPLATE_ID', plan.template.id), value(indexTemplate, 'TEMPLATE', String(plan.template.version ?? 1))]
  for (const i of plan.template.items) if (i.name in made.properties) values.push(value(i.index, i.name, dataOf(made.properties[i.name])))
  return { row: number, id, values }
}

export interface Progress {
  done: number
  good: number
  troubles: Trouble[]
}

/** How many writes go in one request. */
export const batch = 500

interface Line {
  line: number
  responseCode: number
  message?: string
}

/** send writes all rows; each that the node refuses is a trouble, and the others are not held up by it. */
export async function send(plan: Plan, table: Table, t: (key: string) => string, seen: (p: Progress) => void, signal: AbortSignal): Promise<Progress> {
  const p: Progress = { done: 0, good: 0, troubles: [] }
  const had = new Set<string>()
  for (let from = 0; from < table.rows.length && !signal.aborted; from += batch) {
    const rows = table.rows.slice(from, from + batch)
    const writes: Write[] = []
    rows.forEach((row, i) => {
      const w = write(plan, row, from + i + 2, t)
      if (!('values' in w)) p.troubles.push(w)
      else if (had.has(w.id.toLowerCase())) p.troubles.push({ row: w.row, id: w.id, message: t('records.imported.twice') })
      else {
        had.add(w.id.toLowerCase())
        writes.push(w)
      }
    })
    if (writes.length) {
      const body = writes.map((w) => JSON.stringify({ id: w.id, op: 'create', overwrite: plan.overwrite || undefined, values: w.values }) + '\n').join('')
      const r = await raw('POST', '/api/register', body, { headers: { 'Content-Type': 'application/x-ndjson', Accept: 'application/x-ndjson' }, signal })
      const answered = new Set<number>()
      for (const line of (await r.text()).split('\n')) {
        if (!line.trim()) continue
        const a = JSON.parse(line) as Line
        const w = writes[a.line - 1]
        if (!w) continue
        answered.add(a.line - 1)
        if (a.responseCode === 1) p.good++
        else p.troubles.push({ row: w.row, id: w.id, message: a.message ?? String(a.responseCode) })
      }
      writes.forEach((w, i) => answered.has(i) || p.troubles.push({ row: w.row, id: w.id, message: t('records.imported.noAnswer') }))
    }
    p.done = from + rows.length
    seen({ ...p, troubles: [...p.troubles] })
  }
  p.troubles.sort((a, b) => a.row - b.row)
  return p
}

/** report is the troubles as a table that can be mended and imported again: each row as it was, and what is wrong with it. */
export function report(table: Table, troubles: Trouble[], heading: string): Blob {
  const lines = [[...table.columns, heading], ...troubles.map((x) => [...(table.rows[x.row - 2] ?? []), x.message])]
  // The mark tells spreadsheets that this is UTF-8.
  return new Blob(['\ufeff' + lines.map((l) => l.map(cell).join(',') + '\r\n').join('')], { type: 'text/csv;charset=utf-8' })
}

