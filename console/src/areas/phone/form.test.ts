import { expect, it } from 'vitest'
import { begin, filled, unitSign, wrong } from './form'
import type { FieldView } from './types'

const f = (x: Partial<FieldView>): FieldView => ({ field: 'a', label: 'A', type: 'text', ...x })

it('fills in what is known, and keeps what was typed', () => {
  const fields = [f({ field: 'n', type: 'number', value: 12.5 }), f({ field: 'b', type: 'boolean', value: true }), f({ field: 'd', type: 'date', value: '2026-11-23T00:00:00Z' }), f({ field: 'e' })]
  expect(begin(fields)).toEqual({ n: '12.5', b: true, d: '2026-11-23', e: '' })
  expect(begin(fields, { n: '13', e: '' })).toEqual({ n: '13', b: true, d: '2026-11-23', e: '' })
})

it.each([
  [f({ required: true }), '', 'required'],
  [f({ required: true }), ' ', 'required'],
  [f({}), '', undefined],
  [f({ type: 'number' }), 'x', 'number'],
  [f({ type: 'number', min: 2, max: 8 }), '9', 'bounds'],
  [f({ type: 'number', min: 2, max: 8 }), '8', undefined],
  [f({ type: 'integer' }), '1.5', 'integer'],
  [f({ min: 3 }), '泵泵', 'length'],
  [f({ pattern: '^[A-Z]+$' }), 'abc', 'pattern'],
  [f({ pattern: '(?i)abc' }), 'x', undefined],
  [f({ type: 'boolean', required: true }), false, undefined],
])('%j of %j', (field, value, want) => expect(wrong(field, value)?.key).toBe(want))

it('sends numbers as numbers, times with their offset, and nothing that is empty', () => {
  const fields = [f({ field: 'n', type: 'integer' }), f({ field: 't', type: 'datetime' }), f({ field: 'x' }), f({ field: 'b', type: 'boolean' })]
  const out = filled(fields, { n: '7', t: '2026-11-23T08:30', x: ' ', b: false })
  expect(out).toMatchObject({ n: 7, b: false })
  expect(out).not.toHaveProperty('x')
  expect(out.t).toMatch(/^2026-11-23T08:30:00[+-]\d\d:\d\d$/)
  expect(new Date(out.t as string).getTime()).toBe(new Date('2026-11-23T08:30').getTime())
})

it('writes units as people do', () => {
  expect(['Cel', 'MPa', '%', undefined].map(unitSign)).toEqual(['°C', 'MPa', '%', ''])
})
