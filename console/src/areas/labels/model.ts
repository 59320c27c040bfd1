// The shapes of label designs as GET /openapi.json says them, and what the designer makes of them. Lengths are millimetres.

export type Kind = 'qr' | 'datamatrix' | 'gs1-datamatrix' | 'code128' | 'gs1-128' | 'pdf417'
export type Type = 'text' | 'symbol' | 'line' | 'box' | 'image'

export interface Element {
  type?: Type
  x?: number
  y?: number
  width?: number
  height?: number
  turn?: number
  text?: string
  size?: number
  bold?: boolean
  align?: string
  fit?: string
  symbol?: Kind
  data?: string
  level?: string
  module?: number
  columns?: number
  oblong?: boolean
  readable?: boolean
  stroke?: number
  filled?: boolean
  image?: string
}

export interface Sheet {
  paper?: string
  rows?: number
  columns?: number
  top?: number
  left?: number
  gapX?: number
  gapY?: number
  marks?: boolean
}

export interface Design {
  label?: string
  name?: { en: string; zh: string }
  template?: string
  width: number
  height: number
  grid?: number
  dpi?: number
  damage?: string
  elements: Element[]
  sheet?: Sheet
}

export type View = Design & { id: string; label: string }

export interface Advice {
  symbol: Kind
  version?: string
  level?: string
  modules: [number, number]
  quiet: number
  module: number
  dots?: number
  least: number
  width: number
  height: number
  reach: number
  levels?: { level: string; recovers: number; version: string; modules: number; module: number; fits: boolean }[]
  choose?: string
  warnings: { element?: number; code: string; en: string; zh: string }[]
}

export const kinds: Kind[] = ['qr', 'datamatrix', 'gs1-datamatrix', 'code128', 'gs1-128', 'pdf417']
export const kindNames: Record<Kind, string> = { qr: 'QR', datamatrix: 'Data Matrix', 'gs1-datamatrix': 'GS1 DataMatrix', code128: 'Code 128', 'gs1-128': 'GS1-128', pdf417: 'PDF417' }
export const damages = ['clean', 'normal', 'rough', 'harsh']
export const papers: Record<string, [number, number]> = { A3: [297, 420], A4: [210, 297], A5: [148, 210], letter: [215.9, 279.4] }

export function typeOf(e: Element): Type {
  return e.type ?? (e.symbol ? 'symbol' : e.text !== undefined && e.text !== '' ? 'text' : e.image ? 'image' : 'box')
}
const gs1 = (k?: Kind) => k === 'gs1-128' || k === 'gs1-datamatrix'

/** fresh is a new element, ready to be moved to its place. */
export function fresh(type: Type, d: Design, symbol: Kind = 'qr'): Element {
  const at = { x: 2, y: 2 }
  if (type === 'text') return { type, ...at, text: '{id}', size: 9, width: round(Math.max(5, d.width - 4)) }
  if (type === 'line') return { type, x: 2, y: round(d.height / 2), width: round(Math.max(2, d.width - 4)) }
  if (type === 'box') return { type, ...at, width: round(Math.max(3, d.width - 4)), height: round(Math.max(3, d.height - 4)) }
  if (type === 'image') return { type, ...at, width: 15, height: 15 }
  const linear = symbol === 'code128' || symbol === 'gs1-128'
  const side = round(Math.max(6, Math.min(25, d.width - 4, d.height - 4)))
  return { type: 'symbol', ...at, symbol, data: gs1(symbol) ? '{gs1}' : '{id}', width: linear || symbol === 'pdf417' ? round(Math.max(10, d.width - 4)) : side, height: linear ? round(Math.min(15, d.height - 4)) : symbol === 'pdf417' ? round(Math.min(20, d.height - 4)) : side, readable: linear || undefined }
}

/** What a design may begin as. */
export const starters: Record<string, () => Design> = {
  small: () => ({ width: 20, height: 20, elements: [{ type: 'symbol', symbol: 'qr', data: '{id}', x: 2.5, y: 0.5, width: 15, height: 15 }, { type: 'text', text: '{suffix}', x: 1, y: 16.5, width: 18, size: 6, align: 'center' }], sheet: { paper: 'A4', top: 8, left: 5, gapX: 2, gapY: 2, marks: true } }),
  box: () => ({ width: 100, height: 70, dpi: 203, elements: [{ type: 'text', text: '{name|—}', x: 4, y: 4, width: 58, size: 16, bold: true }, { type: 'symbol', symbol: 'qr', data: '{id}', x: 66, y: 4, width: 30, height: 30 }, { type: 'symbol', symbol: 'code128', data: '{id}', x: 4, y: 38, width: 92, height: 20 }, { type: 'text', text: '{id}', x: 4, y: 60, width: 92, size: 9, align: 'center' }] }),
  gs1: () => ({ width: 60, height: 30, dpi: 300, elements: [{ type: 'symbol', symbol: 'gs1-datamatrix', data: '{gs1}', x: 2, y: 4, width: 22, height: 22 }, { type: 'text', text: '{name|—}', x: 27, y: 4, width: 31, size: 9, bold: true }, { type: 'text', text: '{gs1}', x: 27, y: 14, width: 31, height: 12, size: 7, fit: 'wrap' }] }),
  logistic: () => ({ width: 105, height: 50, dpi: 203, elements: [{ type: 'text', text: '{gs1}', x: 4, y: 3, width: 97, size: 10 }, { type: 'symbol', symbol: 'gs1-128', data: '{gs1}', x: 4, y: 11, width: 97, height: 34, readable: true }] }),
  part: () => ({ width: 15, height: 10, dpi: 600, damage: 'harsh', elements: [{ type: 'symbol', symbol: 'datamatrix', data: '{id}', x: 0.5, y: 0.5, width: 9, height: 9 }, { type: 'text', text: '{suffix}', x: 10, y: 1, width: 4.5, height: 8, size: 4, fit: 'wrap' }] }),
  document: () => ({ width: 80, height: 40, dpi: 300, elements: [{ type: 'text', text: '{id}', x: 3, y: 3, width: 74, size: 8 }, { type: 'symbol', symbol: 'pdf417', data: '{id}', x: 3, y: 9, width: 74, height: 28 }] }),
}

export function round(x: number): number {
  return Math.round(x * 100) / 100
}

/** fieldsOf are the names of the fields in a text: {id}, {weight|–}; {{ is a bracket. */
export function fieldsOf(text: string): string[] {
  const out: string[] = []
  for (const m of text.replaceAll('{{', '').matchAll(/\{([^{}|]+)(?:\|[^{}]*)?\}/g)) if (!out.includes(m[1]!.trim())) out.push(m[1]!.trim())
  return out
}

/** used are the fields of a whole design, in the order of its elements. */
export function used(d: Design): string[] {
  return [...new Set(d.elements.flatMap((e) => fieldsOf((typeOf(e) === 'symbol' ? e.data : typeOf(e) === 'text' ? e.text : '') ?? '')))]
}

/** filled is a text with its fields in it, for asking about a symbol; what there is no value for stays as it is. */
export function filled(text: string, fields: Record<string, string>): string {
  return text.replace(/\{\{|\}\}|\{([^{}|]+)(\|[^{}]*)?\}/g, (all, name?: string, other?: string) => {
    if (!name) return all[0]!
    const v = fields[name.trim()]
    return v !== undefined && v !== '' ? v : other !== undefined ? other.slice(1) : all
  })
}

/** samples are values to look at a design with, where no thing is named: as long as real ones. */
export function samples(d: Design, prefix: string, given: Record<string, string> = {}, items: { name: string; type?: string }[] = []): Record<string, string> {
  const id = given.id || `${prefix || '88.118.1001'}/B7QKX2MWY04FD`
  const slash = id.indexOf('/')
  const known: Record<string, string> = { id, prefix: id.slice(0, slash), suffix: id.slice(slash + 1), gs1: '(01)09521234543213(10)LOT7(21)A1B2C3', gs1path: '01/09521234543213/10/LOT7/21/A1B2C3', n: '1' }
  const out: Record<string, string> = {}
  for (const f of used(d)) {
    const type = items.find((i) => i.name.toLowerCase() === f.toLowerCase())?.type
    out[f] = given[f] || known[f] || (type === 'number' || type === 'integer' ? '12.5' : type === 'date' ? '2026-11-23' : type === 'boolean' ? 'true' : f)
  }
  out.id ??= id
  return out
}

/** frame is where an element stands, for a hand that takes hold of it; what sizes itself is guessed. */
export function frame(e: Element, d: Design): { x: number; y: number; w: number; h: number } {
  const x = e.x ?? 0
  const y = e.y ?? 0
  const type = typeOf(e)
  let w = e.width ?? 0
  let h = e.height ?? 0
  if (type === 'text') {
    w ||= d.width - x
    h ||= (e.size || 9) * 0.3528 * 1.25
  } else if (type === 'symbol') {
    const square = e.symbol === 'qr' || e.symbol === 'datamatrix' || e.symbol === 'gs1-datamatrix'
    w ||= square ? h || 12 : 40
    h ||= square ? w : 10
  } else {
    w ||= e.stroke || 0.25
    h ||= e.stroke || 0.25
  }
  return { x, y, w: Math.max(0.5, Math.min(w, d.width - x)), h: Math.max(0.5, Math.min(h, d.height - y)) }
}

/** moved is an element at another place, within the label and on its grid. */
export function moved(e: Element, d: Design, x: number, y: number): Element {
  const grid = d.grid || 0.1
  const f = frame(e, d)
  const keep = (v: number, most: number) => round(Math.min(Math.max(0, Math.round(v / grid) * grid), Math.max(0, most)))
  return { ...e, x: keep(x, d.width - (e.width || Math.min(f.w, d.width))), y: keep(y, d.height - (e.height || Math.min(f.h, d.height))) }
}

/** resized is an element of another size, within the label. */
export function resized(e: Element, d: Design, w: number, h: number): Element {
  const grid = d.grid || 0.1
  const type = typeOf(e)
  const least = type === 'symbol' ? 3 : 1
  const keep = (v: number, most: number) => round(Math.min(Math.max(type === 'line' ? 0 : least, Math.round(v / grid) * grid), Math.max(least, most)))
  const out = { ...e, width: keep(w, d.width - (e.x ?? 0)), height: keep(h, d.height - (e.y ?? 0)) }
  if (type === 'text' && !e.height && h < (e.size || 9) * 0.3528 * 2) out.height = 0
  return out
}

/** tidy is a design as it is sent: without what says nothing. */
export function tidy(d: Design): Design {
  const clean = <T extends object>(x: T): T => Object.fromEntries(Object.entries(x).filter(([k, v]) => v !== undefined && v !== '' && v !== null && v !== false && (v !== 0 || k === 'x' || k === 'y'))) as T
  const own: Record<Type, string[]> = {
    text: ['text', 'size', 'bold', 'align', 'fit'], symbol: ['symbol', 'data', 'level', 'module', 'columns', 'oblong', 'readable'], line: ['stroke'], box: ['stroke', 'filled'], image: ['image'],
  }
  const out: Design = {
    ...clean({ label: d.label, template: d.template, grid: d.grid, dpi: d.dpi, damage: d.damage }), width: d.width, height: d.height,
    elements: d.elements.map((e) => {
      const type = typeOf(e)
      const keep = new Set(['type', 'x', 'y', 'width', 'height', 'turn', ...own[type]])
      return clean({ ...Object.fromEntries(Object.entries(e).filter(([k]) => keep.has(k))), type }) as Element
    }),
  }
  if (d.name && (d.name.en || d.name.zh)) out.name = { en: d.name.en || d.name.zh, zh: d.name.zh || d.name.en }
  const sheet = clean({ ...d.sheet })
  if (sheet.paper && sheet.paper !== 'roll') out.sheet = sheet
  return out
}

/** perSheet is how many labels stand on a sheet: rows and columns; undefined when they are one behind the other. */
export function perSheet(d: Design): { rows: number; columns: number; fits: boolean } | undefined {
  const s = d.sheet
  const size = s?.paper ? papers[s.paper] : undefined
  if (!s || !size) return undefined
  const fit = (room: number, step: number, gap: number) => Math.max(1, Math.floor((room + gap) / (step + gap) + 1e-6))
  const rows = s.rows || fit(size[1] - 2 * (s.top ?? 0), d.height, s.gapY ?? 0)
  const columns = s.columns || fit(size[0] - 2 * (s.left ?? 0), d.width, s.gapX ?? 0)
  const wide = (s.left ?? 0) + columns * (d.width + (s.gapX ?? 0)) - (s.gapX ?? 0)
  const tall = (s.top ?? 0) + rows * (d.height + (s.gapY ?? 0)) - (s.gapY ?? 0)
  return { rows, columns, fits: wide <= size[0] + 0.01 && tall <= size[1] + 0.01 }
}

export const maxIds = 10_000

/** listed are the identifiers of a pasted list: one a line, or the first column of a table; the same ones once, in their order. */
export function listed(text: string): { ids: string[]; twice: number; odd: string[] } {
  const ids: string[] = []
  const seen = new Set<string>()
  const odd: string[] = []
  let twice = 0
  for (const raw of text.split(/\r\n|\r|\n/)) {
    let v = raw.trim().replace(/^\uFEFF/, '')
    if (!v) continue
    v = (v.startsWith('"') ? (/^"((?:[^"]|"")*)"/.exec(v)?.[1] ?? v).replaceAll('""', '"') : v.split(/[\t;,]/)[0]!).trim()
    if (!v || /^(id|identifier|code|codes|标识|编码|handle)$/i.test(v)) continue
    if (!v.includes('/') && !/^\(\d{2,4}\)/.test(v) && !/^urn:/i.test(v)) odd.push(v)
    if (seen.has(v)) twice++
    else {
      seen.add(v)
      ids.push(v)
    }
  }
  return { ids, twice, odd }
}

export function goodName(name: string): boolean {
  return /^[A-Za-z0-9._-]{1,64}$/.test(name)
}
