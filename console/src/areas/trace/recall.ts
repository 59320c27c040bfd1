// How far a recall is, in the words of its page.
import type { Holder, Recall, Reply, Standing, Total } from './types'
import { amount } from './vocabulary'

/** A recall's name for the interface: 2026-01 of 88.610.8001/RECALL_2026-01. */
export function recallName(id: string): string {
  return id.slice(id.indexOf('/') + 1).replace(/^recall_/i, '')
}
export function done(holders: Standing[] | undefined): number {
  return (holders ?? []).filter((h) => h.done).length
}
/** waiting: the holder was not reached; told: no answer yet; acting: some answers; finished: it said that nothing more is to come. */
export type Progress = 'waiting' | 'toldOnly' | 'acting' | 'finished'
export function progress(h: { notified?: string; done?: boolean; found?: Total[]; missing?: number; acknowledged?: Reply[] }): Progress {
  if (h.done) return 'finished'
  if (h.found?.length || h.missing || h.acknowledged?.length) return 'acting'
  return h.notified ? 'toldOnly' : 'waiting'
}
export function totals(list: Total[] | undefined, language: 'zh' | 'en'): string {
  return (list ?? []).map((x) => amount(x.quantity, x.unit, language)).join(language === 'zh' ? '、' : ', ') || '0'
}
/** How much of what is expected at holders they accounted for, as whole items: counts only, since weights of several units do not add. */
export function accounted(r: Pick<Recall, 'holders'>): { expected: number; found: number; missing: number } {
  let expected = 0
  let found = 0
  let missing = 0
  for (const h of r.holders ?? []) {
    expected += h.count
    missing += h.missing
    found += Number(h.found?.find((x) => !x.unit)?.quantity ?? 0)
  }
  return { expected, found: Math.min(found, expected), missing }
}
/** What became of each item, by the last answer that names it. */
export function fates(h: Pick<Holder, 'acknowledged'>): Map<string, string> {
  const out = new Map<string, string>()
  for (const a of [...(h.acknowledged ?? [])].sort((x, y) => x.number - y.number)) for (const i of a.items ?? []) out.set(i.thing, i.action)
  return out
}
