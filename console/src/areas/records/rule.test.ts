import { expect, it } from 'vitest'
import { example, sent } from './rule'

it('shows what a code looks like', () => {
  const day = new Date(2026, 10, 23)
  expect(example([{ kind: 'text', text: 'B' }, { kind: 'date', layout: 'YYMMDD' }, { kind: 'serial', width: 4 }, { kind: 'check', scheme: 'gs1' }], day)).toBe('B2611230001✓')
  expect(example([{ kind: 'date', layout: 'YYDDD' }, { kind: 'random', width: 3 }], day)).toBe('26327###')
  expect(example([{ kind: 'random', width: 1e9 }]).length).toBe(64)
})
it('sends what a part has use for only', () => {
  expect(sent({ kind: 'text', text: 'B', width: 3, layout: 'YYYY' })).toEqual({ kind: 'text', text: 'B' })
  expect(sent({ kind: 'check', text: 'x' })).toEqual({ kind: 'check', scheme: 'mod37-36' })
})
