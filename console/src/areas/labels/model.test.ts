import { describe, expect, it } from 'vitest'
import { fieldsOf, filled, frame, fresh, goodName, kinds, listed, moved, perSheet, resized, samples, starters, tidy, used, type Design } from './model'

const label: Design = { width: 60, height: 40, elements: [{ type: 'text', text: '{product} {weight|–} {{x}}', x: 1, y: 1 }, { type: 'symbol', symbol: 'qr', data: 'https://a.cn/{id}', x: 10, y: 10, width: 20, height: 20 }] }

describe('fields', () => {
  it('finds them, with what may stand in their place, and no brackets', () => {
    expect(fieldsOf('{a} {b|–} {a} {{c}} { d }')).toEqual(['a', 'b', 'd'])
    expect(used(label)).toEqual(['product', 'weight', 'id'])
  })
  it('puts values in', () => {
    expect(filled('{product} {weight|–} {{x}} {none}', { product: 'P' })).toBe('P – {x} {none}')
  })
  it('has something to show for each', () => {
    const s = samples(label, '88.1.2', { product: 'Beer' }, [{ name: 'weight', type: 'number' }])
    expect(s).toMatchObject({ product: 'Beer', weight: '12.5' })
    expect(s.id).toMatch(/^88\.1\.2\//)
    expect(samples({ ...label, elements: [{ text: '{suffix}' }] }, '', { id: '88.9/X1' })).toMatchObject({ suffix: 'X1', id: '88.9/X1' })
  })
})

describe('places', () => {
  it('stay on the label', () => {
    const e = label.elements[1]!
    expect(moved(e, label, 55, -4)).toMatchObject({ x: 40, y: 0 })
    expect(moved(e, { ...label, grid: 5 }, 12.4, 12.6)).toMatchObject({ x: 10, y: 15 })
    expect(resized(e, label, 200, 1)).toMatchObject({ width: 50, height: 3 })
  })
  it('are guessed where an element sizes itself', () => {
    expect(frame(label.elements[0]!, label)).toMatchObject({ x: 1, w: 59 })
    expect(frame({ symbol: 'code128', x: 0, y: 0 }, label)).toMatchObject({ w: 40, h: 10 })
  })
  it('of a new element are within the label, however small it is', () => {
    const small: Design = { width: 8, height: 8, elements: [] }
    for (const k of kinds) {
      const e = fresh('symbol', { width: 100, height: 70, elements: [] }, k)
      expect((e.x ?? 0) + (e.width ?? 0)).toBeLessThanOrEqual(100)
      expect((e.y ?? 0) + (e.height ?? 0)).toBeLessThanOrEqual(70)
    }
    expect(frame(fresh('symbol', small), small).w).toBeLessThanOrEqual(8)
  })
  it('of all beginnings are within their label', () => {
    for (const make of Object.values(starters)) {
      const d = make()
      for (const e of d.elements) {
        expect((e.x ?? 0) + (e.width ?? 0)).toBeLessThanOrEqual(d.width)
        expect((e.y ?? 0) + (e.height ?? 0)).toBeLessThanOrEqual(d.height)
      }
    }
  })
})

describe('sheets', () => {
  it('hold what fits', () => {
    expect(perSheet({ ...label, sheet: { paper: 'A4', top: 10, left: 10, gapX: 2, gapY: 2 } })).toEqual({ rows: 6, columns: 3, fits: true })
    expect(perSheet({ ...label, sheet: { paper: 'A4', rows: 9, columns: 2 } })?.fits).toBe(false)
    expect(perSheet(label)).toBeUndefined()
  })
})

describe('what is sent', () => {
  it('says nothing that means nothing', () => {
    const d = tidy({ ...label, label: 'x', dpi: 0, sheet: { paper: 'roll' }, name: { en: '', zh: '箱' }, elements: [{ type: 'text', text: 'a', x: 0, y: 0, symbol: undefined, level: 'M', bold: false, height: 0 }] })
    expect(d).toEqual({ label: 'x', width: 60, height: 40, name: { en: '箱', zh: '箱' }, elements: [{ type: 'text', text: 'a', x: 0, y: 0 }] })
  })
})

describe('lists', () => {
  it('come as lines or tables, each once, with a header or without', () => {
    expect(listed('\uFEFFid,name\r\n88.1/A,x\r\n"88.1/B,C",y\n\n88.1/A\n(01)09521234543213(21)A1\t5\nhello')).toEqual({ ids: ['88.1/A', '88.1/B,C', '(01)09521234543213(21)A1', 'hello'], twice: 1, odd: ['hello'] })
    expect(listed('').ids).toEqual([])
  })
  it('have names that a file may have', () => {
    expect(goodName('box-1.a_B')).toBe(true)
    for (const n of ['', 'a b', 'a/b', '标签', 'x'.repeat(65)]) expect(goodName(n)).toBe(false)
  })
})
