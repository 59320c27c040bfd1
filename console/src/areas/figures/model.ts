// What an indicator's rows mean: a series over time, a number, or a number for each of several kinds.
export interface Figure {
  solution: string
  name: string
  title: string
  unit?: string
  better?: 'higher' | 'lower'
  every?: 'hour' | 'day' | 'none'
  seed?: string
  drills: boolean
}
export interface Rows {
  columns: string[]
  rows: (string | number | null)[][]
  cut?: boolean
}
export interface Lag {
  events: number
  changes: number
  steps: number
  entries: number
  error?: string
}
export interface Computed extends Figure, Rows {
  from: string
  to: string
  lag: Lag
}

export interface Point {
  label: string
  value: number | null
  /** The row's other columns, by name. */
  more: Record<string, string | number | null>
}
export interface Shape {
  kind: 'series' | 'single' | 'kinds' | 'none'
  points: Point[]
}

/** shape says how an answer is to be shown. The column "value" holds the number; the first other column, if it is a text, says of what. */
export function shape(a: Pick<Computed, 'columns' | 'rows' | 'every'>): Shape {
  const v = a.columns.indexOf('value')
  if (v < 0 || !a.rows.length) return { kind: 'none', points: [] }
  const label = v === 0 ? -1 : 0
  const points = a.rows.map((r) => ({
    label: label < 0 ? '' : String(r[label] ?? ''),
    value: r[v] === null || r[v] === undefined ? null : Number(r[v]),
    more: Object.fromEntries(a.columns.map((c, i) => [c, r[i] ?? null] as const).filter((_, i) => i !== v && i !== label)),
  }))
  if (label < 0) return { kind: points[0]!.value === null ? 'none' : 'single', points }
  return { kind: a.every === 'day' || a.every === 'hour' ? 'series' : 'kinds', points }
}

/** The number that stands on the card: the last of a series, the only one, or the sum of counts by kind; shares by kind have none. */
export function headline(a: Pick<Computed, 'columns' | 'rows' | 'every' | 'unit'>): { value: number; label: string; before?: number } | undefined {
  const s = shape(a)
  if (s.kind === 'single') return { value: s.points[0]!.value!, label: '' }
  if (s.kind === 'series') {
    const with_ = s.points.filter((p) => p.value !== null)
    const last = with_.at(-1)
    return last && { value: last.value!, label: last.label, before: with_.at(-2)?.value ?? undefined }
  }
  if (s.kind === 'kinds' && !a.unit) return { value: s.points.reduce((n, p) => n + (p.value ?? 0), 0), label: '' }
  return undefined
}

/** What the published case reached, as a number in the indicator's unit: 80 of "40% → 80%", 15 of "1.5–2 小时 → 约 15 分钟". */
export function target(seed: string | undefined, unit: string | undefined): number | undefined {
  const after = seed?.split('→')[1]
  const m = after && /-?\d+(?:[.,]\d+)?/.exec(after)
  if (!after || !m) return undefined
  const n = Number(m[0].replace(',', '.'))
  if (unit === 'min' && /小时|hour/i.test(after)) return n * 60
  if (unit === '%' && !/[%％]/.test(after)) return undefined
  return n
}

/** Whether a is better than b; undefined when the indicator does not say, or they are alike. */
export function isBetter(a: number, b: number, better: Figure['better']): boolean | undefined {
  if (!better || Math.abs(a - b) < 1e-9) return undefined
  return better === 'higher' ? a > b : a < b
}
export function reached(value: number, goal: number, better: Figure['better']): boolean | undefined {
  return better && (better === 'higher' ? value >= goal : value <= goal)
}

export function number(x: number, language: 'zh' | 'en'): string {
  const digits = Math.abs(x) >= 1000 ? 0 : Math.abs(x) >= 100 ? 1 : 2
  return new Intl.NumberFormat(language === 'zh' ? 'zh-CN' : 'en-GB', { maximumFractionDigits: digits }).format(x)
}
const units: Record<string, [string, string]> = { '%': ['%', '%'], min: ['分钟', 'min'], Cel: ['℃', '°C'], CEL: ['℃', '°C'], cm2: ['cm²', 'cm²'], CNY: ['元', 'CNY'], s: ['秒', 's'], h: ['小时', 'h'] }
export function unitOf(unit: string | undefined, language: 'zh' | 'en'): string {
  return unit ? (units[unit]?.[language === 'zh' ? 0 : 1] ?? unit) : ''
}

/** The parameters that lead from a row to the identifiers behind it. */
export function behind(s: Shape, p: Point, from: string, to: string): Record<string, string> {
  return { from, to, ...(s.kind === 'series' ? { day: p.label } : s.kind === 'kinds' ? { of: p.label } : {}) }
}

/** How many entries the tables are behind, in all. */
export function late(l: Lag | undefined): number {
  return l ? l.events + l.changes + l.steps : 0
}

/** Days as the interface writes them, in the local time. */
export function day(d: Date): string {
  return `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, '0')}-${String(d.getDate()).padStart(2, '0')}`
}

const identifier = /^\d+(\.[A-Za-z0-9]+)+\/.+/
export function isIdentifier(x: unknown): x is string {
  return typeof x === 'string' && identifier.test(x)
}
