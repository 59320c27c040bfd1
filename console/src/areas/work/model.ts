// The shapes of flows as GET /openapi.json says them, and what screens make of them.
import type { Reason, StepView, Verdict } from '@/areas/phone/types'

export type { Done, Entry, FieldView, FlowView, Reason, Result, Run, StepView, Task, Verdict } from '@/areas/phone/types'

export interface PlanWay {
  to: string
  kind: 'next' | 'check' | 'again' | 'finish' | 'timer'
  when?: string
  say?: string
}

export interface PlanStep {
  step: string
  title?: string
  who?: string[] | null
  auto?: boolean
  scans?: boolean
  of?: string[] | null
  fresh?: boolean
  form?: string[] | null
  asks?: string[] | null
  checks?: { when: string; verdict: Verdict; say?: string }[] | null
  effects?: { kind: string; what: string; when?: string; late?: boolean }[] | null
  undone?: boolean
  ways: PlanWay[]
  open: number
  held: number
}

export interface Plan {
  name: string
  title: string
  solution: string
  version?: string
  start: string
  begin: boolean
  many?: boolean
  steps: PlanStep[]
  open: number
  held: number
  least?: boolean
}

export interface Mail {
  seq: number
  kind: string
  body: Record<string, unknown>
  run?: string
  at: string
}

/** small is a plan of a node that tells no more than how a flow begins. */
export function small(f: { name: string; title: string; solution: string; version?: string; start: StepView }): Plan {
  const s = f.start
  return {
    name: f.name, title: f.title, solution: f.solution, version: f.version, start: s.step, begin: true, open: 0, held: 0,
    steps: [{ step: s.step, title: s.title, scans: s.scans, of: s.of, form: s.form?.map((x) => x.label), ways: [], open: 0, held: 0 }],
  }
}

export const verdicts: Verdict[] = ['passed', 'warned', 'asking', 'diverted', 'refused', 'stopped']

/** The check that decided: the last one that came out as something else than false. */
export function decided(list: Reason[] | null | undefined): Reason | undefined {
  for (const r of [...(list ?? [])].reverse()) if (r.outcome !== 'false') return r
  return undefined
}

/** isIdentifier says whether a text is an identifier that can be looked up here, and no private code. */
export function isIdentifier(x: string | undefined): x is string {
  return !!x && /^\d+(\.[\w-]+)*\.\w+\/\S+$/.test(x)
}

/** apart is how long it took between two times, as two units at most. */
export function apart(from: string, to: string, say: (unit: 'ms' | 's' | 'min' | 'h' | 'd', n: number) => string): string {
  const ms = Math.max(0, +new Date(to) - +new Date(from))
  if (!Number.isFinite(ms)) return ''
  if (ms < 1000) return say('ms', Math.round(ms))
  const s = Math.round(ms / 1000)
  if (s < 60) return say('s', s)
  const min = Math.floor(s / 60)
  if (min < 60) return say('min', min) + (s % 60 ? ' ' + say('s', s % 60) : '')
  const h = Math.floor(min / 60)
  if (h < 48) return say('h', h) + (min % 60 ? ' ' + say('min', min % 60) : '')
  return say('d', Math.floor(h / 24)) + (h % 24 ? ' ' + say('h', h % 24) : '')
}
