import { describe, expect, it } from 'vitest'
import { behind, day, headline, isBetter, isIdentifier, late, number, reached, shape, target, unitOf } from './model'
import { kindName } from './names'
import { words } from './words'

const series = { columns: ['day', 'value', 'boxes'], rows: [['2026-11-21', 30, 4], ['2026-11-22', 33.5, 5], ['2026-11-23', null, 0]] as (string | number | null)[][], every: 'day' as const, unit: '%' }

describe('the shape of an answer', () => {
  it('is a series when it goes by day or hour', () => {
    const s = shape(series)
    expect(s.kind).toBe('series')
    expect(s.points[1]).toEqual({ label: '2026-11-22', value: 33.5, more: { boxes: 5 } })
  })
  it('is one number when nothing says of what', () => expect(shape({ columns: ['value', 'boxes'], rows: [[54.6, 809]], every: 'none' })).toEqual({ kind: 'single', points: [{ label: '', value: 54.6, more: { boxes: 809 } }] }))
  it('is by kinds otherwise', () => expect(shape({ columns: ['warehouse', 'value'], rows: [['', 7], ['88.1/WH', 360]], every: 'none' }).kind).toBe('kinds'))
  it('is nothing without rows, without a value, or with none at all', () => expect([shape({ columns: ['value'], rows: [], every: 'none' }), shape({ columns: ['x'], rows: [[1]], every: 'none' }), shape({ columns: ['value'], rows: [[null]], every: 'none' })].map((s) => s.kind)).toEqual(['none', 'none', 'none']))
})

describe('the number on a card', () => {
  it('is the last that is known of a series, with the one before', () => expect(headline(series)).toEqual({ value: 33.5, label: '2026-11-22', before: 30 }))
  it('is the sum of counts by kind', () => expect(headline({ columns: ['k', 'value'], rows: [['a', 7], ['b', 3]], every: 'none' })).toMatchObject({ value: 10 }))
  it('is no sum of percentages', () => expect(headline({ columns: ['k', 'value'], rows: [['a', 97], ['b', 98]], every: 'none', unit: '%' })).toBeUndefined())
  it('is nothing of an empty series', () => expect(headline({ ...series, rows: [['d', null, 0]] })).toBeUndefined())
})

describe('what the published case reached', () => {
  it.each([
    ['40% → 80%', '%', 80], ['5% → 32%', '%', 32], ['1.5–2 小时 → 约 15 分钟', 'min', 15], ['3 小时 → 1.5 小时', 'min', 90], ['12500 cm² → 3750 cm² 以内', 'cm2', 3750],
    ['2019 年集团重卡板块减少索赔 2 亿元以上', 'CNY', undefined], ['a → b', '%', undefined], ['1 → 2 亿元', '%', undefined], [undefined, '%', undefined],
  ])('%s in %s is %s', (seed, unit, want) => expect(target(seed, unit)).toBe(want))
  it('is reached from the right side', () => expect([reached(33, 32, 'higher'), reached(31, 32, 'higher'), reached(12, 15, 'lower'), reached(16, 15, 'lower'), reached(1, 1, undefined)]).toEqual([true, false, true, false, undefined]))
  it('is compared only where better is said', () => expect([isBetter(2, 1, 'higher'), isBetter(2, 1, 'lower'), isBetter(2, 1, undefined), isBetter(1, 1, 'higher')]).toEqual([true, false, undefined, undefined]))
})

describe('the way to the identifiers', () => {
  it('asks by the row’s day in a series, by its kind otherwise', () => {
    const s = shape(series)
    expect(behind(s, s.points[0]!, 'A', 'B')).toEqual({ from: 'A', to: 'B', day: '2026-11-21' })
    const k = shape({ columns: ['verdict', 'value'], rows: [['refused', 3]], every: 'none' })
    expect(behind(k, k.points[0]!, 'A', 'B')).toEqual({ from: 'A', to: 'B', of: 'refused' })
    const one = shape({ columns: ['value'], rows: [[3]], every: 'none' })
    expect(behind(one, one.points[0]!, 'A', 'B')).toEqual({ from: 'A', to: 'B' })
  })
  it.each([['88.608.24061301/瓶-1', true], ['2026-11-23', false], ['text/with slash', false], [5, false], [null, false]])('%s is an identifier: %s', (x, want) => expect(isIdentifier(x)).toBe(want))
})

describe('words and numbers', () => {
  it('are short and in the reader’s way', () => expect([number(54.635352, 'zh'), number(1339033, 'en'), number(0, 'zh'), number(-19.975, 'en'), number(123.456, 'en')]).toEqual(['54.64', '1,339,033', '0', '-19.98', '123.5']))
  it('say units', () => expect([unitOf('min', 'zh'), unitOf('Cel', 'en'), unitOf('ppm', 'zh'), unitOf(undefined, 'zh')]).toEqual(['分钟', '°C', 'ppm', '']))
  it('say how far behind', () => expect([late({ events: 5, changes: 5, steps: 12, entries: 9 }), late(undefined)]).toEqual([22, 0]))
  it('write days', () => expect(day(new Date(2026, 0, 5))).toBe('2026-01-05'))
  it('name kinds', () => {
    const t = (k: string) => k
    const te = (k: string) => k === 'figures.kinds.refused'
    expect(['', '88.1/WH-LINE', 'refused', 'else', '2026-11-23 19', '2026-11-23'].map((x) => kindName(x, t, te))).toEqual(['figures.unknownKind', 'WH-LINE', 'figures.kinds.refused', 'else', '2026-11-23 19:00', '2026-11-23'])
  })
  it('are the same in both languages', () => {
    const keys = (o: object, at = ''): string[] => Object.entries(o).flatMap(([k, v]) => (typeof v === 'object' ? keys(v, at + k + '.') : [at + k]))
    expect(keys(words.zh).sort()).toEqual(keys(words.en).sort())
  })
})
