// What the node answers about traces, recalls, shares and events, as its interface's text gives it.

export interface Thing {
  id: string
  key: string
  class?: boolean
  depth: number
  quantity?: string
  unit?: string
  owner?: string
  stop?: Stop
  first?: string
  last?: string
  place?: string
  step?: string
  disposition?: string
  inside?: string
}
export type Stop = 'depth' | 'limit' | 'fan-out' | 'time' | 'refused' | 'unreachable' | 'unknown' | 'bogus' | 'class'
export type LinkKind = 'packed' | 'assembled' | 'transformed' | 'unpacked' | 'referred'
export interface Link {
  from: string
  to: string
  kind: LinkKind
  event: string
  ended?: string
  since: string
  until?: string
  quantity?: string
  unit?: string
}
export interface TraceEvent {
  id: string
  hash?: string
  type?: string
  action?: string
  time: string
  recorded?: string
  step?: string
  disposition?: string
  place?: string
  readPoint?: string
  from?: string[]
  to?: string[]
  things?: string[]
  owner?: string
  level?: '' | 'trace' | 'exists'
  declared?: boolean
  point?: [number, number]
}
export interface Finding {
  kind: string
  thing: string
  events: string[]
  time: string
  en: string
  zh: string
}
export interface Hop {
  owner: string
  url?: string
  outcome: 'answered' | 'partial' | 'refused' | 'unreachable' | 'bogus'
  things?: number
  events?: number
  round: number
  took: number
  en?: string
  zh?: string
}
export interface Answer {
  things: Thing[]
  links: Link[]
  events: TraceEvent[]
  findings?: Finding[]
  hops?: Hop[]
  complete: boolean
}
export interface Signature {
  owner?: string
  by?: string
  key?: string
  time?: string
  digest?: string
  holds?: boolean
}
export interface Step {
  things?: Thing[]
  links?: Link[]
  events?: TraceEvent[]
  hops?: Hop[]
  depth: number
  asked: number
  total: number
}
/** One line of /api/trace/stream. */
export interface Line {
  step?: Step
  answer?: Answer
  chain?: Signature[]
  problem?: string
}
export interface Total {
  quantity: string
  unit?: string
}
export interface Content {
  key: string
  kind: LinkKind
  since?: string
  quantity?: string
  unit?: string
}
export interface State {
  id: string
  key: string
  at: string
  known: boolean
  place?: string
  placeOf?: string
  placeSince?: string
  inside?: string[]
  beside?: string[]
  contents?: Content[]
  step?: string
  disposition?: string
  persistent?: string[]
  ended?: string
  endedAt?: string
  event?: string
  eventAt?: string
}
export interface Sibling {
  id: string
  key: string
  why: string
  of?: string
  event: string
  since: string
  until?: string
}
export interface Contact {
  id: string
  key: string
  round: number
  with: string
  why: string
  place?: string
  inside?: string
  events?: string[]
  time?: string
  gap?: number
}
export interface ContactAnswer {
  contacts: Contact[]
  things: number
  asked: number
  complete: boolean
  stops?: Record<string, string>
}

export interface Item {
  thing: string
  quantity?: string
  unit?: string
  place?: string
}
export interface Found extends Item {
  action: Action
}
export type Action = 'quarantined' | 'returned' | 'destroyed' | 'sold' | 'used' | 'not-found'
export interface Reply {
  number: number
  time: string
  items?: Found[]
  note?: string
  done?: boolean
}
export interface Standing {
  prefix: string
  count: number
  notified?: string
  error?: string
  done: boolean
  found?: Total[]
  missing: number
}
export interface Order {
  title: string
  reason?: string
  instructions?: string
  contact?: string
  things: string[]
  from?: string
  to?: string
}
export interface Recall extends Order {
  id: string
  state: string
  opened: string
  closed?: string
  by?: string
  why?: string
  serial: number
  searched?: string
  search?: string
  again?: string
  complete: boolean
  affected: number
  totals?: Total[]
  hops?: Hop[]
  told: number
  toldError?: string
  holders: Standing[]
}
export interface Holder {
  id: string
  recall: string
  prefix: string
  items: Item[]
  count: number
  serial: number
  tries?: number
  again?: string
  error?: string
  notified?: string
  acknowledged?: Reply[]
  done?: boolean
}
export interface Notice {
  name: string
  recall: string
  owner: string
  serial: number
  title: string
  reason?: string
  instructions?: string
  contact?: string
  things: string[]
  items: Item[]
  count: number
  closed?: boolean
  received: string
  answers?: Reply[]
  delivered: number
  error?: string
}
export interface Copy {
  name: string
  recall: string
  owner: string
  title: string
  reason?: string
  things: string[]
  state: string
  opened: string
  closed?: string
  why?: string
  complete: boolean
  affected: number
  totals?: Total[]
  holders?: Standing[]
  received: string
}
export interface Share {
  name: string
  id: string
  to: string[]
  level: 'exists' | 'trace' | 'contents'
  hops?: number
  onRecall?: boolean
  steps?: string[]
  things?: string[]
  until?: string
  note?: string
}
