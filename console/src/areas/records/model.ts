// Records as the node's interface gives them: what is read, what it says by its template, and how it is written.
import { Fault, get, inPath, raw, type Query } from '@/api'
import type { Language } from '@/i18n'

export interface Data {
  format: string
  value: unknown
}

export interface Value {
  index: number
  type: string
  data: Data
  permissions?: string
  ttl?: number
  timestamp?: string
}

export interface Step {
  at: number
  took: number
  asked: string
  name?: string
  answer?: string
  [k: string]: unknown
}

export interface Answer {
  responseCode: number
  handle: string
  message?: string
  values: Value[]
  path?: Step[]
}

export type Trust = 'secure' | 'unsigned' | 'unchecked'

export interface Resolved extends Answer {
  trust: Trust
  source: string
  stale: boolean
  primary: boolean
  live?: string
}

/** Where the template's name, its version and the first property stand in a record. */
export const indexTemplateID = 1000
export const indexTemplate = 1001
export const indexProperty = 2000

export type PropertyType = 'string' | 'number' | 'date' | 'boolean' | 'enumeration' | 'file' | 'reference' | 'schema'
export type Visibility = 'public' | 'granted' | 'private'

export interface Choice {
  code: string
  names?: Record<string, string>
}

export interface Item {
  index: number
  name: string
  names?: Record<string, string>
  description?: string
  type: PropertyType
  required?: boolean
  unique?: boolean
  disabled?: boolean
  visibility?: Visibility
  minLength?: number
  maxLength?: number
  pattern?: string
  precision?: number
  scale?: number
  minimum?: string
  maximum?: string
  unit?: string
  format?: 'date' | 'date-time' | 'year-month' | 'year' | 'time'
  values?: Choice[]
  many?: boolean
  max?: number
  media?: string[]
  target?: string
  schema?: unknown
}

export interface Template {
  id: string
  version?: number
  names: Record<string, string>
  description?: string
  standard?: string
  industry?: string
  visibility?: Visibility
  base?: string
  items: Item[]
}

export interface TemplateView {
  id: string
  state: 'draft' | 'published' | 'withdrawn'
  version?: number
  published?: Template
  draft?: Template
}

/** resolve asks for a record of any enterprise, and what is known of the answer's origin. */
export async function resolve(id: string, o: { purpose?: string; fresh?: boolean; path?: boolean; signal?: AbortSignal } = {}): Promise<Resolved> {
  const query: Query = { auth: o.fresh ? 'true' : undefined, trace: o.path ? 'true' : undefined }
  const headers: Record<string, string> = { 'Fujie-Want': 'trust' }
  if (o.purpose) headers['Fujie-Purpose'] = encodeURIComponent(o.purpose)
  const r = await raw('GET', '/api/handles/' + inPath(id), undefined, { query, headers, signal: o.signal })
  const a = (await r.json()) as Answer
  const trust = r.headers.get('Fujie-Trust')
  return {
    ...a,
    values: a.values ?? [],
    trust: trust === 'secure' || trust === 'unsigned' ? trust : 'unchecked',
    source: r.headers.get('Fujie-Source') ?? '',
    stale: r.headers.get('Fujie-Stale') === '1',
    primary: r.headers.get('Fujie-Primary') === '1',
    live: r.headers.get('Fujie-Live') ?? undefined,
  }
}

/** text is the data of a value as people read it; what has no text is shown as JSON. */
export function text(v: Value): string {
  const d = v.data?.value
  return typeof d === 'string' ? d : JSON.stringify(d)
}

/** templateOf is the version that a record says it keeps to: 88.118/META_PUMP/2. */
export function templateOf(values: Value[]): string | undefined {
  const id = values.find((v) => v.index === indexTemplateID)
  if (!id) return undefined
  const version = values.find((v) => v.index === indexTemplate)
  return text(id) + (version ? '/' + text(version) : '')
}

const kept = new Map<string, Promise<Template | undefined>>()

/** template finds a published version at whichever enterprise: its record is public. Absent when there is none. */
export function template(name: string): Promise<Template | undefined> {
  let found = kept.get(name)
  if (!found) {
    found = read(name)
    // Versions never change; what failed is asked for again.
    found.then((t) => t || kept.delete(name), () => kept.delete(name))
    if (kept.size > 100) kept.clear()
    kept.set(name, found)
  }
  return found
}

interface Face {
  version?: number
  template?: Template
}

async function read(name: string): Promise<Template | undefined> {
  try {
    const a = await get<Answer>('/api/handles/' + inPath(name))
    for (const v of a.values ?? []) {
      let face: Face | undefined
      try {
        face = JSON.parse(text(v)) as Face
      } catch {
        continue
      }
      if (face && typeof face === 'object') {
        if (face.template) return face.template
        if (face.version && !name.endsWith('/' + face.version)) return template(name + '/' + face.version)
      }
    }
  } catch (e) {
    if (!(e instanceof Fault) || e.status === 0 || e.status >= 500) throw e
  }
  return undefined
}

/** title is what a thing is called in the reader's language, else in any, else by its own name. */
export function title(x: { names?: Record<string, string>; name?: string; id?: string; code?: string }, l: Language): string {
  const n = x.names ?? {}
  return n[l] || n[l === 'zh' ? 'en' : 'zh'] || Object.values(n)[0] || x.name || x.code || x.id || ''
}

/** prefixOf is who an identifier belongs to. */
export function prefixOf(id: string): string {
  return id.slice(0, Math.max(0, id.indexOf('/')))
}

/** plausible says whether x has the shape of an identifier: a prefix of digits and dots, a slash, and something. */
export function plausible(x: string): boolean {
  return /^\d+(\.[0-9A-Za-z_-]+)*\/\S/.test(x.trim())
}

export interface Summary {
  text: string
  template: string
  changed?: string
}

/** summary is what anybody may see of a record, in a line. */
export async function summary(id: string, l: Language, signal?: AbortSignal): Promise<Summary> {
  const a = await get<Answer>('/api/handles/' + inPath(id), { publicOnly: 'true' }, { signal })
  const values = a.values ?? []
  const name = templateOf(values)
  const tpl = name ? await template(name).catch(() => undefined) : undefined
  const shown = values
    .filter((v) => (tpl ? v.index >= indexProperty : !hidden.test(v.type)))
    .map((v) => text(v))
    .filter((x) => x && x.length < 120 && !x.startsWith('{'))
  const changed = values.map((v) => v.timestamp ?? '').sort().pop()
  return { text: shown.slice(0, 3).join(' · '), template: tpl ? title(tpl, l) : (name ?? ''), changed }
}

/** Values that are machinery, not content. */
export const hidden = /^(HS_|TEMPLATE(_ID)?$|FUJIE\.|10320\/)/

export type Kind = 'template' | 'user' | 'app' | 'group' | 'code' | 'job' | 'event' | 'request' | 'policy' | 'prefix' | 'thing'

/** kindOf tells by an identifier alone what the node itself keeps under it. */
export function kindOf(id: string): Kind {
  if (/^0\.NA\//i.test(id)) return 'prefix'
  const s = id.slice(id.indexOf('/') + 1).toUpperCase()
  for (const [start, kind] of kinds) if (s.startsWith(start)) return kind
  return 'thing'
}
const kinds: [string, Kind][] = [['META_', 'template'], ['USER_', 'user'], ['APP_', 'app'], ['GROUP_', 'group'], ['RULE_', 'code'], ['JOB_', 'job'], ['REQUEST_', 'request'], ['POLICY_', 'policy'], ['SHARE_', 'policy'], ['EVENT_', 'event']]
