export interface Choice { code: string; names?: Record<string, string> }
export interface Item {
  index: number; name: string; names?: Record<string, string>; type: string; description?: string; required?: boolean; unique?: boolean; disabled?: boolean; visibility?: string
  minLength?: number; maxLength?: number; pattern?: string; minimum?: string; maximum?: string; precision?: number; scale?: number; unit?: string; format?: string; values?: Choice[] | null; many?: boolean; max?: number; media?: string[] | null; target?: string; schema?: unknown
}
export interface Template { id?: string; names: Record<string, string>; items: Item[]; description?: string; industry?: string; standard?: string; version?: number; base?: string; visibility?: string }
export interface View { id: string; state: 'draft' | 'published' | 'withdrawn'; version?: number; draft?: Template; published?: Template }

export const types = ['string', 'number', 'date', 'boolean', 'enumeration', 'file', 'reference', 'schema'] as const
export const visibilities = ['public', 'granted', 'private'] as const

/** path is where the interface has a template: 88.118/META_PUMP → /api/templates/88.118/META_PUMP. */
export function path(id: string): string {
  const i = id.indexOf('/')
  return `/api/templates/${encodeURIComponent(id.slice(0, i))}/${encodeURIComponent(id.slice(i + 1))}`
}
export const nameOf = (names: Record<string, string> | undefined, zh: boolean, or = '') => (zh ? names?.zh || names?.en : names?.en || names?.zh) || or

/** choices reads `code name` lines: `A 合格 / good` → code A, zh 合格, en good. */
export function choices(text: string): Choice[] {
  return text.split('\n').map((l) => l.trim()).filter(Boolean).map((l) => {
    const m = /^(\S+)(?:\s+(.*))?$/.exec(l)!
    const [zh, en] = (m[2] ?? '').split(/\s*\/\s*/)
    const names: Record<string, string> = {}
    if (zh) names.zh = zh
    if (en) names.en = en
    return Object.keys(names).length ? { code: m[1]!, names } : { code: m[1]! }
  })
}
export const written = (list: Choice[] | null | undefined) => (list ?? []).map((c) => [c.code, [c.names?.zh, c.names?.en].filter(Boolean).join(' / ')].filter(Boolean).join(' ')).join('\n')

/** wrong says what is wrong with a draft, by the place: 'name', 'items', or 'items.2.name'. The node checks it all again. */
export function wrong(t: Template, id: string): Record<string, string> {
  const out: Record<string, string> = {}
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$/.test(id)) out.id = 'badId'
  if (!t.names.zh?.trim() && !t.names.en?.trim()) out.names = 'needNames'
  if (!t.items.length) out.items = 'needItems'
  const seen = new Set<string>()
  t.items.forEach((x, i) => {
    if (!/^[a-z][A-Za-z0-9]{0,63}$/.test(x.name)) out[`items.${i}.name`] = 'badName'
    else if (seen.has(x.name)) out[`items.${i}.name`] = 'twice'
    seen.add(x.name)
    if (x.type === 'enumeration' && !x.values?.length) out[`items.${i}.values`] = 'needValues'
    if (x.pattern) try { new RegExp(x.pattern.replace(/^\(\?[a-z]+\)/, '')) } catch { out[`items.${i}.pattern`] = 'badPattern' }
    if (x.minLength && x.maxLength && x.minLength > x.maxLength) out[`items.${i}.minLength`] = 'crossed'
    if (x.minimum && x.maximum && Number(x.minimum) > Number(x.maximum)) out[`items.${i}.minimum`] = 'crossed'
  })
  return out
}

/** sent is a draft as it is sent: without what is empty. */
export function sent(t: Template, id: string): Template {
  const names = (n?: Record<string, string>) => Object.fromEntries(Object.entries(n ?? {}).filter(([, v]) => v.trim()))
  const bare = (x: Item): Item => Object.fromEntries(Object.entries({ ...x, names: names(x.names) }).filter(([k, v]) => k === 'index' || (v !== '' && v !== undefined && v !== null && v !== false && !(Array.isArray(v) && !v.length) && !(typeof v === 'object' && !Array.isArray(v) && !Object.keys(v).length)))) as unknown as Item
  return { ...Object.fromEntries(Object.entries(t).filter(([, v]) => v !== '' && v !== undefined)), id, names: names(t.names), items: t.items.map(bare) } as Template
}
