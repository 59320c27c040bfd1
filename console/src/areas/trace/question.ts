// A question as the address holds it: shared as a link, kept by the browser's history.
import type { LocationQuery } from 'vue-router'
import type { Query } from '@/api'

export const asks = ['trace', 'state', 'siblings', 'contacts', 'path'] as const
export interface Asked {
  ask: (typeof asks)[number]
  ids: string[]
  other: string
  way: 'both' | 'up' | 'down'
  depth: number | null
  from: string
  to: string
  seconds: number | null
  recall: string
  local: boolean
  minutes: number
  rounds: number
  alone: boolean
}

function one(x: LocationQuery[string] | undefined): string {
  return (Array.isArray(x) ? x[0] : x) ?? ''
}
function number(x: LocationQuery[string] | undefined, low: number, high: number): number | null {
  const n = Number.parseInt(one(x), 10)
  return Number.isNaN(n) ? null : Math.min(high, Math.max(low, n))
}

export function fromQuery(q: LocationQuery): Asked {
  const ask = one(q.ask) as Asked['ask']
  const way = one(q.way) as Asked['way']
  return {
    ask: asks.includes(ask) ? ask : 'trace',
    ids: (Array.isArray(q.id) ? q.id : [q.id]).filter((x): x is string => Boolean(x)).slice(0, 1000),
    other: one(q.other), way: way === 'up' || way === 'down' ? way : 'both', depth: number(q.depth, 1, 1000), from: one(q.from), to: one(q.to), seconds: number(q.seconds, 1, 600),
    recall: one(q.recall), local: one(q.local) === 'true', minutes: number(q.minutes, 0, 525600) ?? 0, rounds: number(q.rounds, 1, 10) ?? 1, alone: one(q.alone) === 'true',
  }
}

/** What the address shows: only what is not as usual. */
export function toQuery(a: Asked): Record<string, string | string[]> {
  const out: Record<string, string | string[]> = { id: a.ids.length === 1 ? a.ids[0]! : a.ids }
  if (a.ask !== 'trace') out.ask = a.ask
  if (a.ask === 'path') out.other = a.other.trim()
  if (a.ask === 'trace') {
    if (a.way !== 'both') out.way = a.way
    if (a.depth) out.depth = String(a.depth)
  }
  if (a.ask === 'contacts') {
    if (a.minutes) out.minutes = String(a.minutes)
    if (a.rounds > 1) out.rounds = String(a.rounds)
    if (a.alone) out.alone = 'true'
  }
  if (a.ask === 'trace' || a.ask === 'contacts') {
    if (a.from) out.from = a.from
    if (a.seconds) out.seconds = String(a.seconds)
    if (a.recall) out.recall = a.recall
  }
  if (a.to && a.ask !== 'path') out.to = a.to
  if (a.local) out.local = 'true'
  return out
}

/** The parameters of /api/trace, /api/trace/stream, /api/trace/picture and /api/trace/contacts. */
export function toApi(a: Asked): Query {
  return {
    id: a.ids, up: a.ask === 'trace' && a.way !== 'down' ? true : undefined, down: a.ask === 'trace' && a.way !== 'up' ? true : undefined, depth: a.depth ?? undefined, from: a.from || undefined, to: a.to || undefined,
    seconds: a.seconds ?? undefined, recall: a.recall || undefined, local: a.local || undefined,
    ...(a.ask === 'contacts' && { minutes: a.minutes || undefined, rounds: a.rounds, alone: a.alone || undefined }),
  }
}
/** The parameters of questions about one thing. */
export function toOne(a: Asked, id = a.ids[0]): Query {
  return { id, at: a.to || undefined, local: a.local || undefined }
}
