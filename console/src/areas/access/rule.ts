export type Visibility = 'public' | 'granted' | 'private'
export interface Rule { template?: string; items?: string[] | null; visibility?: Visibility; hidden?: boolean; grants?: unknown[] | null; note?: string }
export interface Stated extends Rule { source: string; index?: number; text?: string }

/** A rule's name within its prefix; undefined for one that stands in a record. */
export function nameOf(s: Stated): string | undefined {
  const m = s.index ? null : /\/POLICY_(.+)$/i.exec(s.source)
  return m?.[1]
}

/** Where a rule is kept, as a path of the interface. */
export function pathOf(prefix: string, name: string): string {
  return `/api/policies/${encodeURIComponent(prefix)}/${encodeURIComponent(name)}`
}

export interface Form { name: string; template: string; items: string; visibility: '' | Visibility; hidden: boolean; note: string }

/** What is wrong with a form, as the key of a word by field. taken are the names that are there. */
export function faults(f: Form, taken: string[]): Partial<Record<keyof Form, string>> {
  const out: Partial<Record<keyof Form, string>> = {}
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/.test(f.name.trim())) out.name = 'ruleNameBad'
  else if (taken.some((x) => x.toLowerCase() === f.name.trim().toLowerCase())) out.name = 'ruleNameTaken'
  if (f.template.trim() && !/^\d[\d.]*\/\S+$/.test(f.template.trim())) out.template = 'ruleTemplateBad'
  if (f.hidden && list(f.items).length) out.hidden = 'ruleHiddenItems'
  if (!f.visibility && !f.hidden) out.visibility = 'ruleNothing'
  return out
}

export const list = (s: string) => s.split(/[\s,，;；]+/).filter(Boolean)

/** The rule that a form makes of an old one: whom the old one grants what stays. */
export function ruleOf(f: Form, old?: Rule): Rule {
  const items = list(f.items)
  return {
    template: f.template.trim() || undefined, items: items.length ? items : undefined, visibility: f.visibility || undefined, hidden: f.hidden || undefined, note: f.note.trim() || undefined,
    grants: old?.grants?.length ? old.grants : undefined,
  }
}

export function formOf(name: string, r: Rule): Form {
  return { name, template: r.template ?? '', items: (r.items ?? []).join(', '), visibility: r.visibility ?? '', hidden: r.hidden ?? false, note: r.note ?? '' }
}

/** How wide a rule is: the narrower one wins. */
export function width(r: Rule): 'items' | 'template' | 'prefix' {
  return r.items?.length ? 'items' : r.template ? 'template' : 'prefix'
}
