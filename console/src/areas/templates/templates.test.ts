import { expect, it } from 'vitest'
import { choices, nameOf, path, sent, written, wrong, type Template } from './model'

const t = (x: Partial<Template> = {}): Template => ({ names: { zh: '泵' }, items: [{ index: 0, name: 'serialNumber', type: 'string' }], ...x })
it('writes and reads choices', () => {
  const list = choices('A 合格 / good\n\nB\n C 待检 ')
  expect(list).toEqual([{ code: 'A', names: { zh: '合格', en: 'good' } }, { code: 'B' }, { code: 'C', names: { zh: '待检' } }])
  expect(choices(written(list))).toEqual(list)
})
it('finds what is wrong', () => {
  expect(wrong(t(), 'PUMP')).toEqual({})
  expect(wrong(t({ names: { zh: ' ', en: '' }, items: [] }), 'a b')).toEqual({ id: 'badId', names: 'needNames', items: 'needItems' })
  expect(wrong(t({ items: [{ index: 0, name: 'a', type: 'string', pattern: '(' }, { index: 0, name: 'a', type: 'enumeration' }, { index: 0, name: 'A', type: 'number', minimum: '9', maximum: '1' }] }), 'P')).toEqual({
    'items.0.pattern': 'badPattern', 'items.1.name': 'twice', 'items.1.values': 'needValues', 'items.2.name': 'badName', 'items.2.minimum': 'crossed',
  })
})
it('sends nothing that is empty', () => {
  expect(sent(t({ description: '', items: [{ index: 0, name: 'a', names: { zh: '' }, type: 'string', pattern: '', required: false, unique: true, values: [] }] }), '88.1/META_P')).toEqual({ id: '88.1/META_P', names: { zh: '泵' }, items: [{ index: 0, name: 'a', type: 'string', unique: true }] })
})
it('knows addresses and names', () => {
  expect(path('88.118/META_PUMP')).toBe('/api/templates/88.118/META_PUMP')
  expect(nameOf({ zh: '泵' }, false)).toBe('泵')
  expect(nameOf(undefined, true, 'x')).toBe('x')
})
