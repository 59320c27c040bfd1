export type State = 'draft' | 'submitted' | 'in-review' | 'approved' | 'refused' | 'withdrawn' | 'active' | 'suspended' | 'revoked'
export interface Person { name?: string; phone?: string; email?: string }
export interface Organisation { orgName: string; orgNature?: number; orgAddr?: { province?: string; city?: string; county?: string; street?: string }; orgCrtType: number; orgCrtCode: string; website?: string; industryCategory?: string; industrySpecific?: string; contact?: Person; legal?: Person }
export interface Server { id: number; address: string; interfaces?: { protocol: string; port: number; query: boolean; admin: boolean }[] | null }
export interface Form { prefix: string; kind: 'self-hosted' | 'hosted'; organisation: Organisation; key: string; note?: string; sites?: { primary: boolean; description?: string; servers?: Server[] | null }[] | null }
export interface Event { at: string; by: string; what: string; from: string; to: string; why?: string; jws: string }
export interface Application {
  id: string; state: State; applicant: string; form: Form; events: Event[] | null; until?: string; freeAgain?: string; pending?: string; trouble?: string
  timing?: { approved?: string; delegated?: string; resolvable?: string; seconds?: number }
  warnings?: { code: string; en: string; zh: string; about?: string }[] | null
  notices?: { at: string; en: string; zh: string }[] | null
  move?: { to: string; stage: string; after: number; copied: number; records: number; since: string; linger?: string }
}
export interface Info { prefix: string; key: string; ref: string; hosts: boolean; termSeconds: number }

/** What can be done to an application that stands at a state, and whether it wants a reason. A reviewer's acts; the applicant's are submit and withdraw. */
export interface Act { name: 'review' | 'approve' | 'refuse' | 'suspend' | 'resume' | 'renew' | 'revoke' | 'submit' | 'withdraw'; reason: boolean; kind: 'primary' | 'danger' | 'default'; mine?: boolean }

const act = (name: Act['name'], kind: Act['kind'] = 'default', reason = false, mine = false): Act => ({ name, kind, reason, mine })
const table: Record<State, Act[]> = {
  draft: [act('submit', 'primary', false, true), act('withdraw', 'default', false, true)],
  submitted: [act('review'), act('approve', 'primary'), act('refuse', 'danger', true), act('withdraw', 'default', false, true)],
  'in-review': [act('approve', 'primary'), act('refuse', 'danger', true), act('withdraw', 'default', false, true)],
  approved: [],
  refused: [act('submit', 'primary', false, true), act('withdraw', 'default', false, true)],
  withdrawn: [],
  active: [act('renew'), act('suspend', 'danger', true), act('revoke', 'danger', true)],
  suspended: [act('resume', 'primary'), act('renew'), act('revoke', 'danger', true)],
  revoked: [],
}

/** acts are those that somebody may do: reviewers theirs, the applicant theirs. */
export function acts(state: State, reviews: boolean, mine: boolean): Act[] {
  return (table[state] ?? []).filter((a) => (a.mine ? mine : reviews))
}

/** number is the last part of an application's identifier, as its addresses have it: 88.118/APPLY_000001 → 000001. */
export function number(id: string): string {
  return id.replace(/^.*\/APPLY_/i, '')
}

export const states: State[] = ['submitted', 'in-review', 'draft', 'approved', 'active', 'suspended', 'refused', 'withdrawn', 'revoked']

/** Good, to be looked at, bad: by mark and word beside the colour. */
export function tone(s: State): { cls: string; mark: string } {
  switch (s) {
    case 'active': return { cls: 'good', mark: '✓' }
    case 'submitted': case 'in-review': case 'approved': return { cls: 'warn', mark: '…' }
    case 'suspended': case 'refused': case 'revoked': return { cls: 'bad', mark: '✕' }
    default: return { cls: 'hint', mark: '·' }
  }
}

/** creditCode checks a unified social credit code (GB 32100): 18 characters of which the last checks the others. */
export function creditCode(s: string): boolean {
  const set = '0123456789ABCDEFGHJKLMNPQRTUWXY'
  if (!/^[0-9A-HJ-NPQRTUWXY]{18}$/.test(s)) return false
  let sum = 0
  for (let i = 0, w = 1; i < 17; i++, w = (w * 3) % 31) sum += set.indexOf(s[i]!) * w
  return set[(31 - (sum % 31)) % 31] === s[17]
}

/** wrong says which fields of a form are wrong, by the key of the sentence for each. */
export function wrong(f: Form, above: string): Record<string, string> {
  const out: Record<string, string> = {}
  const o = f.organisation
  if (!f.prefix.startsWith(above + '.') || !/^\d{1,12}$/.test(f.prefix.slice(above.length + 1))) out.prefix = 'badPrefix'
  if (!o.orgName.trim()) out.orgName = 'needed'
  if (!o.orgCrtCode.trim()) out.orgCrtCode = 'needed'
  else if (o.orgCrtType === 1 && !creditCode(o.orgCrtCode.trim().toUpperCase())) out.orgCrtCode = 'badCredit'
  if (!o.contact?.name?.trim()) out.contactName = 'needed'
  if (!o.contact?.phone?.trim() && !o.contact?.email?.trim()) out.contactPhone = 'needReach'
  if (o.contact?.email?.trim() && !/^[^\s@]+@[^\s@]+$/.test(o.contact.email.trim())) out.contactEmail = 'badEmail'
  if (o.website?.trim() && !/^https?:\/\/\S+$/i.test(o.website.trim())) out.website = 'badSite'
  return out
}
