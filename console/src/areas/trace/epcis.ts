// Events as EPCIS 2.0 writes them in JSON, and how its interface pages and reports faults.
import { Fault, raw, type Options, type Query } from '@/api'

export interface Quantity {
  epcClass: string
  quantity?: number | string
  uom?: string
}
export interface EpcisEvent {
  type: string
  eventID?: string
  eventTime: string
  recordTime?: string
  eventTimeZoneOffset?: string
  action?: 'ADD' | 'OBSERVE' | 'DELETE'
  bizStep?: string
  disposition?: string
  persistentDisposition?: { set?: string[]; unset?: string[] }
  readPoint?: { id: string }
  bizLocation?: { id: string }
  epcList?: string[]
  quantityList?: Quantity[]
  parentID?: string
  childEPCs?: string[]
  childQuantityList?: Quantity[]
  inputEPCList?: string[]
  inputQuantityList?: Quantity[]
  outputEPCList?: string[]
  outputQuantityList?: Quantity[]
  transformationID?: string
  bizTransactionList?: { type?: string; bizTransaction: string }[]
  sourceList?: { type: string; source: string }[]
  destinationList?: { type: string; destination: string }[]
  sensorElementList?: { sensorMetadata?: Record<string, unknown>; sensorReport?: Record<string, unknown>[] }[]
  ilmd?: Record<string, unknown>
  errorDeclaration?: { declarationTime?: string; reason?: string; correctiveEventIDs?: string[] }
  [more: string]: unknown
}

/** The token of the page behind this one, out of a Link header (RFC 8288). */
export function nextToken(link: string | null): string {
  for (const part of (link ?? '').split(/,\s*(?=<)/)) {
    const m = /^<([^>]*)>\s*;.*rel="?next"?/.exec(part.trim())
    if (m) return new URL(m[1]!, 'https://x').searchParams.get('nextPageToken') ?? ''
  }
  return ''
}

export interface EventPage {
  events: EpcisEvent[]
  next: string
}
/** The events in an answer: of a query, of a document, or one alone. */
export function eventsOf(a: any): EpcisEvent[] {
  const body = a?.epcisBody
  if (body) return body.queryResults?.resultsBody?.eventList ?? body.eventList ?? (body.event ? [body.event] : [])
  return a?.eventTime ? [a] : []
}
export async function readEvents(path: string, query: Query, o: Options = {}): Promise<EventPage> {
  const r = await raw('GET', path, undefined, { ...o, query })
  return { events: eventsOf(await r.json()), next: nextToken(r.headers.get('Link')) }
}
/** A list of names, as /epcis/bizSteps. */
export async function readNames(path: string): Promise<string[]> {
  return (await (await raw('GET', path, undefined, { query: { perPage: 200 } })).json())?.member ?? []
}

export interface Place {
  type?: string
  title?: string
  detail?: string
  detailZh?: string
  event?: number
  eventID?: string
  path?: string
  line?: number
  column?: number
  rule?: string
}
export interface Job {
  captureID: string
  createdAt: string
  finishedAt?: string
  running: boolean
  success: boolean
  captureErrorBehaviour: string
  errors: Place[]
  total: number
  done: number
  captured: number
  duplicates: number
  refused: number
  moreErrors?: number
}

/** capture sends a document; the answer is its job, or the places at fault when nothing was captured. */
export async function capture(text: string, behaviour: 'rollback' | 'proceed'): Promise<{ job?: string; fault?: Fault; places?: Place[] }> {
  try {
    const r = await raw('POST', '/epcis/capture', text, { headers: { 'Content-Type': looksXml(text) ? 'application/xml' : 'application/json', 'GS1-Capture-Error-Behaviour': behaviour } })
    return { job: decodeURIComponent((r.headers.get('Location') ?? '').split('/').pop() ?? '') }
  } catch (e) {
    if (!(e instanceof Fault)) throw e
    return { fault: e, places: e.errors as Place[] }
  }
}
export function looksXml(text: string): boolean {
  return /^\uFEFF?\s*</.test(text)
}
export function looksJson(text: string): boolean {
  return /^\uFEFF?\s*[{[]/.test(text)
}

/** The query of a form, in the parameters of SimpleEventQuery. */
export interface Sought {
  epc: string
  step: string
  from: string
  to: string
  place: string
  type: string
  newest: boolean
}
export function parameters(s: Sought): Record<string, string> {
  const out: Record<string, string> = {}
  if (s.epc.trim()) out.MATCH_anyEPC = s.epc.trim()
  if (s.step) out.EQ_bizStep = s.step
  if (s.from) out.GE_eventTime = s.from
  if (s.to) out.LT_eventTime = s.to
  if (s.place.trim()) out[s.place.trim().startsWith('geo:') ? 'EQ_readPoint' : 'EQ_bizLocation'] = s.place.trim()
  if (s.type) out.eventType = s.type
  out.orderBy = 'eventTime'
  out.orderDirection = s.newest ? 'DESC' : 'ASC'
  return out
}
/** The same as the body of a named query, in which texts that may be several are lists. */
export function queryBody(p: Record<string, string>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(p).map(([k, v]) => [k, /^(MATCH_|EQ_|eventType$)/.test(k) ? [v] : v]))
}
