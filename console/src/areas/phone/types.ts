// The shapes of the interface's flows, as GET /openapi.json says them.

export type Verdict = 'passed' | 'warned' | 'asking' | 'refused' | 'diverted' | 'stopped'

export interface FieldView {
  field: string
  label: string
  hint?: string
  type: 'text' | 'number' | 'integer' | 'boolean' | 'choice' | 'date' | 'datetime' | 'id' | string
  unit?: string
  min?: number
  max?: number
  required?: boolean
  pattern?: string
  choices?: { value: string; label: string }[] | null
  scan?: boolean
  value?: unknown
}

export interface StepView {
  step: string
  title: string
  hint?: string
  scans: boolean
  of?: string[] | null
  form?: FieldView[] | null
  finish?: string
}

export interface FlowView {
  name: string
  title: string
  solution: string
  version?: string
  start: StepView
}

export interface Scan {
  id?: string
  flow?: string
  run?: string
  step?: string
  code?: string
  form?: Record<string, unknown>
  finish?: boolean
  at?: string
  sent?: string
  device?: string
  where?: string
  dryRun?: boolean
}

export interface Reason {
  check: string
  outcome: string
  outcomeZh?: string
}

export interface Done {
  kind: string
  what: string
  state?: 'queued' | 'done'
}

export interface Result {
  id?: string
  run?: string
  flow?: string
  step?: string
  verdict?: Verdict
  say?: string
  choices?: { flow: string; title: string; run?: string }[] | null
  form?: FieldView[] | null
  next?: StepView
  ended?: boolean
  state?: 'open' | 'held' | 'ended' | 'cancelled'
  effects?: Done[] | null
  explain?: Reason[] | null
  duplicate?: boolean
  error?: string
  kind?: string
}

export interface Task {
  task: string
  run: string
  flow: string
  name: string
  about?: string
  for: string[] | null
  state: 'open' | 'taken' | 'done'
  by?: string
  made: string
  due?: string
  late?: boolean
  note?: string
}

export interface Entry {
  seq: number
  no?: number
  kind: 'scan' | 'timer' | 'note' | 'cancel' | 'release' | 'task'
  step?: string
  code?: string
  verdict?: Verdict
  say?: string
  who?: string
  device?: string
  place?: string
  at: string
  received: string
  explain?: Reason[] | null
  effects?: Done[] | null
}

export interface Run {
  run: string
  flow: string
  title?: string
  about: string
  state: 'open' | 'held' | 'ended' | 'cancelled'
  step?: string
  verdict?: Verdict
  say?: string
  steps: number
  started: string
  last: string
  by?: string
  vars?: Record<string, unknown>
  next?: StepView
  journal?: Entry[] | null
}
