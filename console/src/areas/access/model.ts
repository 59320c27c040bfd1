export interface Role { name: string; prefix: string }
export interface User { id: string; title?: string; email?: string; roles?: Role[] | null; allRoles?: Role[] | null; disabled?: boolean; invited?: boolean; invitation?: string; password: boolean; totp: boolean; made: string }
export interface Group { id: string; title?: string; members?: string[] | null; roles?: Role[] | null; private?: boolean; made: string }
export interface App { id: string; title?: string; roles?: Role[] | null; revoked?: boolean; privateKey?: string; keys?: { identity: string; algorithm: string; fingerprint: string; made?: string; until?: string }[] | null; made: string }
export interface Target { id?: string; template?: string; prefix?: string; items?: string[] | null }
export interface Grant { id?: string; prefix: string; target: Target; to: string[]; actions: string[]; from?: string; until?: string; count?: number; purposes?: string[] | null; when?: string; refuse?: boolean; paid?: boolean; by?: string; at?: string; request?: string }
export interface Request { id: string; asker: string; key: string; target: Target; actions: string[]; purpose?: string; text?: string; until?: string; ends?: string; state: string; grant?: string; history: { at: string; by?: string; to: string; reason?: string }[] | null }
export interface Look { seq: number; time: string; who: string; id: string; indexes: number[]; action: string; purpose?: string; grants?: string[] | null; right?: boolean }

/** An identifier's two parts, as paths of the interface have them: 88.118/User_li → /api/users/88.118/li. */
export function account(kind: 'users' | 'groups' | 'apps', id: string): string {
  const i = id.indexOf('/')
  return `/api/${kind}/${encodeURIComponent(id.slice(0, i))}/${encodeURIComponent(id.slice(i + 1).replace(/^(User|Group|App)_/i, ''))}`
}
/** paper is the path of a numbered paper: 88.118/REQUEST_000001 → /api/access-requests/88.118/000001. */
export function paper(kind: 'access-requests' | 'grants', id: string): string {
  const i = id.indexOf('/')
  return `/api/${kind}/${encodeURIComponent(id.slice(0, i))}/${encodeURIComponent(id.slice(i + 1).replace(/^REQUEST_/i, ''))}`
}

/** targetOf reads what a form names: a record's identifier, or a template's; with properties separated by commas or blanks. */
export function targetOf(kind: 'id' | 'template', name: string, items: string): Target {
  const list = items.split(/[\s,，;；]+/).filter(Boolean)
  const t: Target = kind === 'id' ? { id: name.trim() } : { template: name.trim() }
  if (list.length) t.items = list
  return t
}

/** An identifier as people write it; a bare prefix is everybody under it. */
export function partner(s: string): boolean {
  return /^\d[\d.]*(\/\S+)?$/.test(s.trim())
}

/** until is the last moment of a day that was picked, by this device's clock; undefined for none. */
export function endOfDay(day: string): string | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(day)) return undefined
  const d = new Date(day + 'T23:59:59')
  return Number.isNaN(d.getTime()) ? undefined : d.toISOString()
}

export function tone(state: string): { cls: string; mark: string } {
  switch (state) {
    case 'granted': return { cls: 'good', mark: '✓' }
    case 'refused': case 'revoked': return { cls: 'bad', mark: '✕' }
    case 'open': case 'asked': case 'pending': case 'submitted': return { cls: 'warn', mark: '…' }
  }
  return { cls: 'hint', mark: '·' }
}
export const open = (state: string) => ['open', 'asked', 'pending', 'submitted'].includes(state)
