export interface Rate { registered: number; resolved: number; success?: number }
export interface Share { key: string; nodes: number; silent: number; identifiers: number; rate: Rate }
export interface Anomaly { kind: string; node: string; title?: string; since: string; say: string }
export interface Situation { at: string; beat: number; nodes: number; silent: number; roles: Record<string, number>; identifiers: number; rate: Rate; regions: Share[]; industries: Share[]; schemes: Share[]; series: { at: string; registered: number; resolved: number }[]; anomalies: Anomaly[] }
export interface NodeView { node: string; title?: string; role?: string; region?: string; industry?: string; identifiers: number; received: string; via: string; silent: boolean; rate: Rate; since: string }

/** wait is when to ask again, in milliseconds: each beat, and less and less often while nobody answers. */
export function wait(beat: number, failures: number): number {
  return Math.min(60_000, Math.max(2000, beat * 1000) * 2 ** Math.min(failures, 5))
}

/** path draws a series into a box of w by h as an SVG path, and says its highest value. */
export function path(values: number[], w: number, h: number): { d: string; area: string; most: number } {
  const most = Math.max(0, ...values)
  const top = most || 1
  const at = values.map((v, i) => `${((i * w) / Math.max(1, values.length - 1)).toFixed(1)},${(h - (Math.max(0, v) * h) / top).toFixed(1)}`)
  return { d: at.length ? 'M' + at.join('L') : '', area: at.length ? `M0,${h}L${at.join('L')}L${w},${h}Z` : '', most }
}
