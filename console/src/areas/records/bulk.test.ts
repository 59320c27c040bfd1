import { afterEach, describe, expect, it, vi } from 'vitest'
import { match, report, send, suffixColumn, write, type Plan } from './bulk'
import type { Template } from './model'

const template: Template = { id: '88.1/META_PUMP', version: 2, names: {}, items: [
  { index: 2000, name: 'product', names: { zh: '产品', en: 'Product' }, type: 'string' },
  { index: 2001, name: 'filledOn', names: { zh: '灌装日期' }, type: 'date' },
  { index: 2002, name: 'old', type: 'string', disabled: true },
] }
const plan: Plan = { template, prefix: '88.1', suffix: 0, columns: { product: 1, filledOn: 2 }, overwrite: false }
const t = (k: string) => k
afterEach(() => vi.unstubAllGlobals())

describe('rows', () => {
  it('finds columns by their names', () => {
    expect(match(template, ['编号', 'PRODUCT', '灌装 日期', 'old'])).toEqual({ product: 1, filledOn: 2 })
    expect(suffixColumn(['产品', '编号'])).toBe(1)
  })
  it('makes a record of a row', () => {
    expect(write(plan, ['P1', '泵', '2026/1/2'], 2, t)).toEqual({ row: 2, id: '88.1/P1', values: [
      { index: 1000, type: 'TEMPLATE_ID', data: { format: 'string', value: '88.1/META_PUMP' } },
      { index: 1001, type: 'TEMPLATE', data: { format: 'string', value: '2' } },
      { index: 2000, type: 'product', data: { format: 'string', value: '泵' } },
      { index: 2001, type: 'filledOn', data: { format: 'string', value: '2026-01-02' } },
    ] })
    expect(write(plan, ['88.1/P1', '', ''], 2, t)).toMatchObject({ id: '88.1/P1' })
    expect(write(plan, [' ', 'x'], 3, t)).toEqual({ row: 3, id: '', message: 'records.imported.noSuffix' })
  })
  it('keeps good rows and tells bad ones by their place in the file', async () => {
    vi.stubGlobal('fetch', async (_: string, o: RequestInit) => {
      const n = String(o.body).trim().split('\n').length
      expect(n).toBe(2)
      return new Response('{"line":1,"responseCode":1}\n{"line":2,"responseCode":202,"message":"no"}\n')
    })
    const table = { columns: ['a', 'b', 'c'], rows: [['', 'x', ''], ['1', 'x', ''], ['2', '=x', ''], ['1', 'y', '']] }
    const p = await send(plan, table, t, () => undefined, new AbortController().signal)
    expect(p.good).toBe(1)
    expect(p.troubles.map((x) => [x.row, x.message])).toEqual([[2, 'records.imported.noSuffix'], [4, 'no'], [5, 'records.imported.twice']])
    const file = report(table, [p.troubles[1]!], 'why')
    const text = await new Promise((done) => {
      const r = new FileReader()
      r.onload = () => done(r.result)
      r.readAsText(file)
    })
    expect(text).toBe("a,b,c,why\r\n2,'=x,,no\r\n")
  })
})
