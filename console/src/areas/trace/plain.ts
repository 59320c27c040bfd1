// One event in one sentence, for people who never saw EPCIS.
import { brief } from './drawing'
import type { EpcisEvent, Quantity } from './epcis'
import { amount, bare, steps, word } from './vocabulary'

export type Say = (key: string, values?: Record<string, unknown>) => string

function list(names: string[] = [], quantities: Quantity[] = [], t: Say, language: 'zh' | 'en'): string {
  const all = [...names.map((n) => brief(n, 40)), ...quantities.map((q) => [brief(q.epcClass, 40), amount(q.quantity, q.uom, language)].filter(Boolean).join(' '))]
  if (!all.length) return ''
  return all.length <= 3 ? all.join(t('trace.event.say.and')) : t('trace.event.say.more', { first: all[0], n: all.length })
}

export function sentence(e: EpcisEvent, t: Say, language: 'zh' | 'en'): string {
  const s = (k: string, v: Record<string, unknown>) => t('trace.event.say.' + k, v)
  const at = new Intl.DateTimeFormat(language === 'zh' ? 'zh-CN' : 'en-GB', { dateStyle: 'medium', timeStyle: 'short', hourCycle: 'h23' }).format(Number.isNaN(Date.parse(e.eventTime)) ? 0 : new Date(e.eventTime))
  const place = brief(e.bizLocation?.id ?? e.readPoint?.id ?? '', 40) || t('trace.event.say.nowhere')
  const step = word(steps, e.bizStep, language) || t('trace.event.say.happened')
  const parent = e.parentID ? brief(e.parentID, 40) : t('trace.event.say.nothing')
  const none = t('trace.event.say.nothing')
  const kids = list(e.childEPCs, e.childQuantityList, t, language)
  const what = list(e.epcList, e.quantityList, t, language) || none
  switch (e.type) {
    case 'AggregationEvent':
      return e.action === 'ADD' ? s('pack', { at, place, what: kids || none, parent }) : e.action === 'DELETE' ? s('unpack', { at, place, what: kids || t('trace.event.say.all'), parent }) : s('seen', { at, place, what: kids || none, parent })
    case 'AssociationEvent':
      return e.action === 'ADD' ? s('fix', { at, place, what: kids || none, parent }) : e.action === 'DELETE' ? s('unfix', { at, place, what: kids || t('trace.event.say.all'), parent }) : s('seen', { at, place, what: kids || none, parent })
    case 'TransformationEvent':
      return s('make', { at, place, inputs: list(e.inputEPCList, e.inputQuantityList, t, language) || none, outputs: list(e.outputEPCList, e.outputQuantityList, t, language) || none })
    case 'TransactionEvent':
      return s('trade', { at, place, what, papers: (e.bizTransactionList ?? []).map((b) => brief(b.bizTransaction, 40)).join(t('trace.event.say.and')) || none })
    default:
      return s(e.action === 'ADD' ? 'add' : e.action === 'DELETE' ? 'delete' : 'observe', { at, place, step, what })
  }
}

/** What an event is about, in short. */
export function about(e: EpcisEvent): string[] {
  return [...(e.parentID ? [e.parentID] : []), ...(e.epcList ?? []), ...(e.childEPCs ?? []), ...(e.inputEPCList ?? []), ...(e.outputEPCList ?? []), ...[...(e.quantityList ?? []), ...(e.childQuantityList ?? []), ...(e.inputQuantityList ?? []), ...(e.outputQuantityList ?? [])].map((q) => q.epcClass)]
}

const known = new Set(['@context', 'type', 'eventID', 'eventTime', 'recordTime', 'eventTimeZoneOffset', 'action', 'bizStep', 'disposition', 'persistentDisposition', 'readPoint', 'bizLocation', 'epcList', 'quantityList', 'parentID', 'childEPCs', 'childQuantityList',
  'inputEPCList', 'inputQuantityList', 'outputEPCList', 'outputQuantityList', 'transformationID', 'bizTransactionList', 'sourceList', 'destinationList', 'sensorElementList', 'ilmd', 'errorDeclaration', 'certificationInfo'])
/** Fields of other vocabularies than EPCIS, as enterprises add them. */
export function extensions(e: EpcisEvent): [string, unknown][] {
  return Object.entries(e).filter(([k]) => !known.has(k))
}

export interface Reading {
  what: string
  value: string
  unit: string
  at: string
}
/** Readings of sensors, one a line. */
export function readings(e: EpcisEvent): Reading[] {
  const out: Reading[] = []
  for (const s of e.sensorElementList ?? []) {
    for (const r of s.sensorReport ?? []) {
      const v = ['value', 'minValue', 'meanValue', 'maxValue', 'stringValue', 'booleanValue'].filter((k) => r[k] !== undefined).map((k) => (k === 'value' ? String(r[k]) : `${k.replace('Value', '')} ${String(r[k])}`)).join(', ')
      out.push({ what: bare(String(r.type ?? r.exception ?? '')).replace(/^.*[#/]/, ''), value: v, unit: String(r.uom ?? ''), at: String(r.time ?? s.sensorMetadata?.time ?? '') })
    }
  }
  return out
}
