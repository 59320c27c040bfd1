// The one way to the node: its public interface, as any other program sees it. Who asks is said by the session's cookie,
// which no script can read; a page of another site cannot use it.

export interface FaultItem {
  location?: string
  message?: string
  value?: unknown
}

/** A refusal, as problem details (RFC 9457) in the user's language. */
export class Fault extends Error {
  constructor(
    public status: number,
    public title: string,
    public detail: string,
    public errors: FaultItem[] = [],
    public kind = '',
  ) {
    super(detail || title)
    this.name = 'Fault'
  }
}

export type Query = Record<string, string | number | boolean | undefined | null | (string | number)[]>

export interface Options {
  query?: Query
  /** Idempotency-Key: the same request with the same key is done once. */
  key?: string
  signal?: AbortSignal
  headers?: Record<string, string>
}

let language = 'zh-CN'
let overHandler: (() => void) | undefined

/** setLanguage says in which language the node is to answer. */
export function setLanguage(l: string) {
  language = l
}

/** onSessionOver is called when the node no longer takes the session. */
export function onSessionOver(f: () => void) {
  overHandler = f
}

export function address(path: string, query?: Query): string {
  if (!query) return path
  const q = new URLSearchParams()
  for (const [k, v] of Object.entries(query)) {
    if (v === undefined || v === null || v === '') continue
    for (const x of Array.isArray(v) ? v : [v]) q.append(k, String(x))
  }
  const s = q.toString()
  return s ? path + (path.includes('?') ? '&' : '?') + s : path
}

/** An identifier in a path: slashes stay, what an address cannot hold is escaped. */
export function inPath(identifier: string): string {
  return identifier.split('/').map(encodeURIComponent).join('/')
}

function words(zh: string, en: string): string {
  return language.startsWith('zh') ? zh : en
}

declare global {
  interface Window { early?: Record<string, Promise<Response | undefined>> }
}

/** soon is the answer to what was asked while the application was still on its way (early.ts), once. */
async function soon(path: string): Promise<Response | undefined> {
  const asked = window.early?.[path]
  delete window.early?.[path]
  return asked
}

/** raw sends a request and returns the response when it is no refusal. */
export async function raw(method: string, path: string, body?: unknown, o: Options = {}): Promise<Response> {
  const headers: Record<string, string> = { 'Accept-Language': language, Accept: 'application/json', ...o.headers }
  if (o.key) headers['Idempotency-Key'] = o.key
  let payload: BodyInit | undefined
  if (body instanceof Blob || body instanceof ArrayBuffer || typeof body === 'string') {
    payload = body
  } else if (body !== undefined) {
    payload = JSON.stringify(body)
    headers['Content-Type'] ??= 'application/json'
  }
  let r: Response
  try {
    const url = address(path, o.query)
    r = (method === 'GET' && (await soon(url))) || await fetch(url, { method, headers, body: payload, signal: o.signal, credentials: 'same-origin' })
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e
    throw new Fault(0, words('连不上节点', 'The node cannot be reached'), words('连不上节点：请检查网络后重试', 'The node cannot be reached: check the network and try again'))
  }
  if (r.ok) return r
  throw await fault(r)
}

async function fault(r: Response): Promise<Fault> {
  const text = await r.text().catch(() => '')
  if (r.status === 401 && overHandler) overHandler()
  try {
    const p = JSON.parse(text)
    const detail = p.detail ?? p.message ?? ''
    return new Fault(r.status, p.title ?? detail, detail, Array.isArray(p.errors) ? p.errors : [], p.kind ?? p.type ?? '')
  } catch {
    return new Fault(r.status, text.slice(0, 300) || r.statusText, text.slice(0, 300))
  }
}

async function json<T>(r: Response): Promise<T> {
  if (r.status === 204) return undefined as T
  const text = await r.text()
  return (text ? JSON.parse(text) : undefined) as T
}

export async function get<T>(path: string, query?: Query, o: Options = {}): Promise<T> {
  return json<T>(await raw('GET', path, undefined, { ...o, query }))
}
export async function post<T>(path: string, body?: unknown, o?: Options): Promise<T> {
  return json<T>(await raw('POST', path, body, o))
}
export async function put<T>(path: string, body?: unknown, o?: Options): Promise<T> {
  return json<T>(await raw('PUT', path, body, o))
}
export async function patch<T>(path: string, body?: unknown, o?: Options): Promise<T> {
  return json<T>(await raw('PATCH', path, body, o))
}
export async function del<T>(path: string, o?: Options): Promise<T> {
  return json<T>(await raw('DELETE', path, undefined, o))
}

export interface Page<T> {
  items: T[]
  next?: string
}

/** page reads one page of a list; its next is the cursor of the page after it. */
export function page<T>(path: string, query?: Query, o?: Options): Promise<Page<T>> {
  return get<Page<T>>(path, query, o)
}

export async function blob(path: string, o: Options & { method?: string; body?: unknown } = {}): Promise<Blob> {
  return (await raw(o.method ?? 'GET', path, o.body, { ...o, headers: { Accept: '*/*', ...o.headers } })).blob()
}

/** lines reads newline-delimited JSON as it arrives. */
export async function* lines<T>(path: string, o: Options & { method?: string; body?: unknown } = {}): AsyncGenerator<T> {
  const r = await raw(o.method ?? 'GET', path, o.body, { ...o, headers: { Accept: 'application/x-ndjson', ...o.headers } })
  if (!r.body) return
  const reader = r.body.pipeThrough(new TextDecoderStream()).getReader()
  let rest = ''
  try {
    for (;;) {
      const { value, done } = await reader.read()
      rest += value ?? ''
      const parts = rest.split('\n')
      rest = parts.pop()!
      for (const p of parts) if (p.trim()) yield JSON.parse(p) as T
      if (done) break
    }
    if (rest.trim()) yield JSON.parse(rest) as T
  } finally {
    reader.cancel().catch(() => undefined)
  }
}

/** safeUrl is x when a person may be sent there: http and https only, since other enterprises write these fields. */
export function safeUrl(x: unknown): string | undefined {
  if (typeof x !== 'string') return undefined
  try {
    const u = new URL(x)
    return u.protocol === 'http:' || u.protocol === 'https:' ? u.href : undefined
  } catch {
    return undefined
  }
}

/** save hands a file to the user. */
export function save(b: Blob, name: string) {
  const a = document.createElement('a')
  a.href = URL.createObjectURL(b)
  a.download = name
  a.click()
  setTimeout(() => URL.revokeObjectURL(a.href), 10_000)
}
