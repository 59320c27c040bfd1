import { computed, shallowRef } from 'vue'
import type { RoleName } from './area'
import { Fault, get, onSessionOver, post } from './api'

export interface Held {
  role: RoleName
  prefix: string
}

export interface Me {
  user: string
  name: string
  roles: Held[]
  /** Absent when who asks has no account here: an administrator by key. */
  account?: Account
}

export interface Passkey {
  id: string
  title?: string
  made: string
}

/** The account as GET /api/me shows it. */
export interface Account {
  id: string
  title?: string
  email?: string
  password: boolean
  totp: boolean
  recoveryCodes?: number
  passkeys?: Passkey[]
  providers?: string[]
}

interface MeAnswer {
  identity?: string
  operator?: boolean
  account?: Account
  roles?: { name: RoleName; prefix: string }[]
}

/** Who is logged in; null when nobody is. */
export const me = shallowRef<Me | null>(null)
export const loggedIn = computed(() => me.value !== null)

/** can says whether the user has one of the roles, anywhere. What they may really do the node decides. */
export function can(...roles: RoleName[]): boolean {
  return me.value?.roles.some((r) => roles.includes(r.role)) ?? false
}

export async function loadMe() {
  try {
    const a = await get<MeAnswer>('/api/me')
    const id = a.account?.id ?? (a.identity ?? '').replace(/^\d+:/, '')
    const roles: Held[] = (a.roles ?? []).map((r) => ({ role: r.name, prefix: r.prefix }))
    me.value = { user: id, name: a.account?.title || id.replace(/^.*\/User_/, ''), roles, account: a.account }
  } catch (e) {
    if (!(e instanceof Fault) || e.status === 0 || e.status >= 500) throw e
    me.value = null
  }
}

export interface LoginStep {
  ticket?: string
}

/** login answers a ticket when a one-time code is wanted too. */
export async function login(user: string, password: string, code?: string): Promise<LoginStep> {
  const step = await post<LoginStep>('/api/login', { user, password, code: code || undefined, cookie: true })
  if (!step.ticket) await loadMe()
  return step
}

export async function loginSecond(ticket: string, code: string) {
  await post('/api/login/totp', { ticket, code, cookie: true })
  await loadMe()
}

export async function loginTicket(ticket: string) {
  await post('/api/login/ticket', { ticket, cookie: true })
  await loadMe()
}

export async function logout(everywhere = false) {
  try {
    await post('/api/logout', undefined, { query: { everywhere: everywhere || undefined } })
  } finally {
    me.value = null
  }
}

onSessionOver(() => {
  if (me.value) me.value = null
})
