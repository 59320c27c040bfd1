import { expect, it } from 'vitest'
import { path, wait } from './model'
import { columns, lines, nameOf, shade, tiles } from './provinces'

it('has every province once, each at a place of its own', () => {
  expect(tiles.length).toBe(34)
  expect(new Set(tiles.map((t) => t.code)).size).toBe(34)
  expect(new Set(tiles.map((t) => t.x + ',' + t.y)).size).toBe(34)
  for (const t of tiles) {
    expect(t.code).toMatch(/^[1-8][0-9]0000$/)
    expect(t.x).toBeLessThan(columns)
    expect(t.y).toBeLessThan(lines)
  }
  expect(nameOf('320000', true)).toBe('江苏')
  expect(nameOf('990000', true)).toBe('990000')
})

it.each([[0, 100, 0], [1, 100, 1], [100, 100, 4], [5, 0, 0], [99, 100, 4], [10, 1e9, 1]])('shade of %d in %d is %d', (n, most, want) => expect(shade(n, most)).toBe(want))

it('draws what is there, and nothing of nothing', () => {
  expect(path([], 100, 10)).toEqual({ d: '', area: '', most: 0 })
  expect(path([0, 0], 100, 10).d).toBe('M0.0,10.0L100.0,10.0')
  expect(path([0, 5, 10], 100, 10)).toEqual({ d: 'M0.0,10.0L50.0,5.0L100.0,0.0', area: 'M0,10L0.0,10.0L50.0,5.0L100.0,0.0L100,10Z', most: 10 })
})

it('asks less and less often while nobody answers', () => {
  expect([0, 1, 2, 3, 9].map((n) => wait(3, n))).toEqual([3000, 6000, 12000, 24000, 60000])
  expect(wait(0.1, 0)).toBe(2000)
})
