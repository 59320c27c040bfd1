import { describe, expect, it } from 'vitest'
import { createI18n } from 'vue-i18n'
import { csv, fileName } from './download'
import { eventsOf, looksJson, looksXml, nextToken, parameters, queryBody, type EpcisEvent } from './epcis'
import { evidence, opened } from './evidence'
import { about, extensions, readings, sentence } from './plain'
import { bySeries, gather, series } from './people'
import { fromQuery, toApi, toQuery } from './question'
import { accounted, done, fates, progress, recallName, totals } from './recall'
import { ticks } from './time'
import type { Contact, Standing } from './types'
import { amount, bare, steps, word } from './vocabulary'
import { words } from './words'

const i18n = createI18n({ legacy: false, locale: 'en', messages: { en: { trace: words.en } } as never }) as any
const translate = i18n.global.t as (k: string, v: Record<string, unknown>) => string
const say = (k: string, v?: Record<string, unknown>) => translate(k, v ?? {})
const event = (more: Partial<EpcisEvent>): EpcisEvent => ({ type: 'ObjectEvent', eventTime: '2026-10-26T01:00:00Z', action: 'OBSERVE', ...more })

describe('both languages', () => {
  const keys = (o: object, at = ''): string[] => Object.entries(o).flatMap(([k, v]) => (typeof v === 'object' ? keys(v, at + k + '.') : [at + k]))
  it('have the same words', () => expect(keys(words.zh).sort()).toEqual(keys(words.en).sort()))
  it('name the same things in them', () => {
    const holes = (s: string) => [...s.matchAll(/\{(\w+)\}/g)].map((m) => m[1]).sort()
    const get = (o: any, k: string) => k.split('.').reduce((x, p) => x[p], o)
    for (const k of keys(words.zh)) expect([k, holes(get(words.zh, k))]).toEqual([k, holes(get(words.en, k))])
  })
  it('leave no sentence in English among the Chinese ones', () => {
    const get = (o: any, k: string) => k.split('.').reduce((x, p) => x[p], o)
    for (const k of keys(words.zh)) {
      const s: string = get(words.zh, k)
      if (!/[\u4e00-\u9fff]/.test(s)) expect([k, /[a-z]{3,} [a-z]{3,}/i.test(s)]).toEqual([k, false])
    }
  })
})

describe('one event in one sentence', () => {
  it.each([
    [event({ bizStep: 'inspecting', epcList: ['88.1/A'], bizLocation: { id: '88.1/PLANT' } }), /at PLANT: inspecting of A\./],
    [event({ type: 'AggregationEvent', action: 'ADD', parentID: '88.1/BOX', childEPCs: ['88.1/A', '88.1/B'] }), /a place not named: A, B put into BOX/],
    [event({ type: 'AggregationEvent', action: 'DELETE', parentID: '88.1/BOX' }), /everything taken out of BOX/],
    [event({ type: 'TransformationEvent', action: undefined, inputEPCList: ['88.1/C'], outputQuantityList: [{ epcClass: '88.1/LOT', quantity: 12.5, uom: 'KGM' }] }), /LOT 12\.5 kg made of C/],
    [event({ type: 'AssociationEvent', action: 'ADD', parentID: '88.1/ENG', childEPCs: ['88.1/BEARING'] }), /BEARING fixed to ENG/],
    [event({ action: 'ADD', epcList: ['88.1/A', '88.1/B', '88.1/C', '88.1/D'] }), /A and 4 in all came into being/],
    [event({}), /things not listed/],
    [event({ eventTime: 'nonsense' }), /1970/],
  ])('%#', (e, want) => expect(sentence(e, say, 'en')).toMatch(want))
  it('names all that an event is about', () => expect(about(event({ parentID: 'p', childEPCs: ['a'], quantityList: [{ epcClass: 'q' }] }))).toEqual(['p', 'a', 'q']))
  it('shows what others added', () => expect(extensions(event({ 'ex:heat': 3 } as never))).toEqual([['ex:heat', 3]]))
  it('reads sensors', () => expect(readings(event({ sensorElementList: [{ sensorMetadata: { time: 'T' }, sensorReport: [{ type: 'gs1:Temperature', minValue: -20, maxValue: -18, uom: 'CEL' }] }] }))).toEqual([{ what: 'gs1:Temperature', value: 'min -20, max -18', unit: 'CEL', at: 'T' }]))
})

describe('the interface of events', () => {
  it.each([
    ['</epcis/events?nextPageToken=a%2Bb&perPage=2>; rel="next"', 'a+b'], ['<https://x/epcis/events?perPage=2&nextPageToken=z>; rel=next', 'z'], ['</a>; rel="prev", </b?nextPageToken=n>; rel="next"', 'n'], ['</a?nextPageToken=q>; rel="prev"', ''], ['', ''], [null, ''],
  ])('finds the next page in %s', (link, want) => expect(nextToken(link)).toBe(want))
  it.each([[{ epcisBody: { queryResults: { resultsBody: { eventList: [event({})] } } } }, 1], [{ epcisBody: { eventList: [event({}), event({})] } }, 2], [event({}), 1], [{}, 0], [null, 0]])('finds the events in %#', (a, n) => expect(eventsOf(a).length).toBe(n))
  it('asks with the parameters of SimpleEventQuery, and keeps them as a query', () => {
    const p = parameters({ epc: ' 88.1/* ', step: 'shipping', from: '2026-01-01T00:00:00Z', to: '', place: 'geo:1,2', type: 'ObjectEvent', newest: false })
    expect(p).toEqual({ MATCH_anyEPC: '88.1/*', EQ_bizStep: 'shipping', GE_eventTime: '2026-01-01T00:00:00Z', EQ_readPoint: 'geo:1,2', eventType: 'ObjectEvent', orderBy: 'eventTime', orderDirection: 'ASC' })
    expect(queryBody(p)).toMatchObject({ MATCH_anyEPC: ['88.1/*'], eventType: ['ObjectEvent'], GE_eventTime: '2026-01-01T00:00:00Z', orderBy: 'eventTime' })
  })
  it('tells XML from JSON', () => expect([looksXml('\uFEFF <a/>'), looksJson(' {"a":1}'), looksXml('{'), looksJson('<')]).toEqual([true, true, false, false]))
})

describe('words of the standard', () => {
  it.each([['shipping', 'shipping'], ['urn:epcglobal:cbv:bizstep:shipping', 'shipping'], ['https://ref.gs1.org/cbv/BizStep-shipping', 'shipping'], ['https://example.com/own', 'https://example.com/own']])('%s is %s', (a, b) => expect(bare(a)).toBe(b))
  it('says them in the reader’s language and leaves own ones alone', () => expect([word(steps, 'urn:epcglobal:cbv:bizstep:packing', 'zh'), word(steps, 'packing', 'en'), word(steps, 'ours', 'zh'), word(steps, undefined, 'zh')]).toEqual(['装箱', 'packing', 'ours', '']))
  it('says quantities with units', () => expect([amount('3', 'KGM', 'zh'), amount('3', undefined, 'zh'), amount('3', undefined, 'en'), amount(undefined, 'KGM', 'en')]).toEqual(['3 千克', '3 件', '3', '']))
})

describe('a question in the address', () => {
  it('comes back as it went', () => {
    const a = { ...fromQuery({}), ids: ['88.1/A', '88.1/B'], way: 'up' as const, depth: 3, to: '2026-01-01T00:00:00+08:00', recall: '88.1/RECALL_1', local: true }
    expect(fromQuery(toQuery(a) as never)).toEqual(a)
    expect(toApi(a)).toMatchObject({ id: ['88.1/A', '88.1/B'], up: true, down: undefined, depth: 3, local: true })
  })
  it('bounds what somebody typed there', () => expect(fromQuery({ ask: 'x', depth: '-5', rounds: '99', minutes: 'abc', way: 'sideways', id: [] })).toMatchObject({ ask: 'trace', depth: 1, rounds: 10, minutes: 0, way: 'both', ids: [] }))
})

describe('siblings and contacts', () => {
  it.each([['88.1/PERSON-DRIVER-1', 'PERSON'], ['88.1/人员-3', '人员'], ['88.1/0042', '004'], ['PACK9', 'PACK']])('%s is of the series %s', (a, b) => expect(series(a)).toBe(b))
  it('puts all that a sibling has in common into one row, the closest first', () => {
    const s = (key: string, why: string) => ({ id: key, key, why, event: 'e', since: '' })
    expect(gather([s('a', 'parent'), s('b', 'parent'), s('b', 'transformation')]).map((x) => [x.id, x.whys.length])).toEqual([['b', 2], ['a', 1]])
  })
  it('puts people before a thousand goods', () => {
    const c = (id: string): Contact => ({ id, key: id, round: 1, with: 'x', why: 'event' })
    expect(bySeries([...Array.from({ length: 1000 }, (_, i) => c('88.1/PACK-' + i)), c('88.1/TRUCK-1'), c('88.1/PERSON-1'), c('88.1/PERSON-2')]).map((g) => g.name)).toEqual(['PERSON', 'TRUCK', 'PACK'])
  })
})

describe('very many contacts', () => {
  it('are put in order all the same', () => {
    const list = Array.from({ length: 100_000 }, (_, i): Contact => ({ id: '88.1/PACK-' + i, key: '' + i, round: 1, with: 'x', why: 'event' }))
    expect(bySeries(list)[0]!.contacts.length).toBe(100_000)
  })
})

describe('recalls', () => {
  const h = (more: Partial<Standing>): Standing => ({ prefix: 'p', count: 10, done: false, missing: 0, ...more })
  it('says how far each holder is', () => expect([h({}), h({ notified: 'T' }), h({ notified: 'T', found: [{ quantity: '1' }] }), h({ notified: 'T', missing: 2 }), h({ done: true })].map(progress)).toEqual(['waiting', 'toldOnly', 'acting', 'acting', 'finished']))
  it('sums what is accounted for', () => expect(accounted({ holders: [h({ found: [{ quantity: '7' }, { quantity: '2.5', unit: 'KGM' }], missing: 1 }), h({ found: [{ quantity: '10' }] })] })).toEqual({ expected: 20, found: 17, missing: 1 }))
  it('counts who is done', () => expect([done([h({ done: true }), h({})]), done(undefined)]).toEqual([1, 0]))
  it('takes the last answer about a thing', () => expect([...fates({ acknowledged: [{ number: 2, time: '', items: [{ thing: 'a', action: 'destroyed' }] }, { number: 1, time: '', items: [{ thing: 'a', action: 'quarantined' }, { thing: 'b', action: 'sold' }] }] })]).toEqual([['a', 'destroyed'], ['b', 'sold']]))
  it('names it', () => expect([recallName('88.610.8001/RECALL_2026-01'), recallName('88.1/Recall_x')]).toEqual(['2026-01', 'x']))
  it('says totals', () => expect([totals([{ quantity: '3' }, { quantity: '2', unit: 'KGM' }], 'zh'), totals([], 'en')]).toEqual(['3 件、2 千克', '0']))
})

describe('files', () => {
  it('keeps a spreadsheet from running what another enterprise wrote', () => {
    const s = csv(['a', 'b'], [['=HYPERLINK("http://x")', -5], ['x,"y"', '+1'], ['@cmd', null]])
    expect(s).toContain(`"'=HYPERLINK(""http://x"")",-5`)
    expect(s).toContain('"x,""y""",+1')
    expect(s).toContain("'@cmd,")
    expect(s.startsWith('\uFEFFa,b\r\n')).toBe(true)
  })
  it('makes names that any system takes', () => expect(fileName('88.1/瓶 <1>:*', 'json')).toBe('88.1_瓶_1_.json'))
  it('knows evidence, alone or in an answer, and nothing else', () => {
    const e = { version: 1, answers: [], certificates: {} }
    expect([evidence(JSON.stringify(e)), evidence(JSON.stringify({ answer: {}, evidence: e })), evidence('{}'), evidence('[]'), evidence('null'), evidence('x'), evidence('{"version":2,"answers":[],"certificates":{}}')].map(Boolean)).toEqual([true, true, false, false, false, false, false])
    expect(opened(btoa(JSON.stringify({ a: 1 })))).toEqual({ a: 1 })
    expect(opened('%%%')).toBe('%%%')
  })
  it('marks time in round steps within its bounds', () => {
    const a = Date.parse('2026-10-08T00:00:00Z')
    for (const long of [60e3, 3600e3, 86400e3, 20 * 86400e3, 800 * 86400e3]) {
      const m = ticks(a, a + long, 7, 'zh')
      expect(m.length).toBeLessThanOrEqual(8)
      for (const x of m) expect(x.at >= a && x.at <= a + long).toBe(true)
    }
  })
})
