// What a code rule makes, shown by an example; the numbers of an example are not given out.
export type PartKind = 'text' | 'date' | 'class' | 'serial' | 'random' | 'check'

export interface Part {
  kind: PartKind
  text?: string
  width?: number
  base?: number
  layout?: string
  scheme?: string
}

export interface Rule {
  id: string
  name: string
  title?: string
  template?: string
  parts: Part[]
  issued: number
  room: number
}

export interface Job {
  id: string
  rule: string
  count: number
  done: number
  state: 'running' | 'done' | 'failed'
  trouble?: string
  made: string
  format: string
  gzip: boolean
}

export const layouts = ['YYYYMMDD', 'YYMMDD', 'YYYYMM', 'YYMM', 'YYYY', 'YYDDD']
export const schemes = ['mod37-36', 'mod11-10', 'mod11-2', 'mod37-2', 'mod97-10', 'gs1', 'luhn']
/** The most codes of one answer; more are a job's. */
export const atOnce = 10_000
export const most = 100_000_000

/** example is the look of a code: its date is today's, each place that is not known yet is a sign. */
export function example(parts: Part[], today = new Date()): string {
  return parts.map((p) => {
    switch (p.kind) {
      case 'text': return p.text ?? ''
      case 'date': return date(p.layout || 'YYYYMMDD', today)
      case 'class': return 'C'.repeat(places(p.width, 1))
      case 'serial': return '1'.padStart(places(p.width, 1), '0')
      case 'random': return '#'.repeat(places(p.width, 8))
      case 'check': return p.scheme === 'mod97-10' ? '✓✓' : '✓'
    }
  }).join('')
}
function places(n: number | undefined, otherwise: number): number {
  return Math.min(64, Math.max(1, Math.trunc(n || otherwise)))
}
function date(layout: string, d: Date): string {
  const two = (n: number) => String(n).padStart(2, '0')
  const year = String(d.getFullYear())
  const days = Math.round((Date.UTC(d.getFullYear(), d.getMonth(), d.getDate()) - Date.UTC(d.getFullYear(), 0, 0)) / 86_400_000)
  return layout.replace('YYYY', year).replace('YY', year.slice(2)).replace('DDD', String(days).padStart(3, '0')).replace('MM', two(d.getMonth() + 1)).replace('DD', two(d.getDate()))
}

/** sent is a part as the node takes it: what its kind has no use for is left out. */
export function sent(p: Part): Part {
  switch (p.kind) {
    case 'text': return { kind: p.kind, text: p.text ?? '' }
    case 'date': return { kind: p.kind, layout: p.layout || 'YYYYMMDD' }
    case 'check': return { kind: p.kind, scheme: p.scheme || schemes[0] }
    case 'serial': return { kind: p.kind, width: Number(p.width) || undefined, base: p.base }
    default: return { kind: p.kind, width: Number(p.width) || undefined, base: p.kind === 'random' ? p.base : undefined }
  }
}
