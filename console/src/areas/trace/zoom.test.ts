import { describe, expect, it } from 'vitest'
import { clamp, keyed, moved, mostScale, pinched, whole, zoomed, type View } from './zoom'

const W = 800
const H = 600
const at = (v: View, px: number, py: number) => [(px - v.x) / v.scale, (py - v.y) / v.scale]

describe('a picture that is looked at closely', () => {
  it('keeps what is under the pointer, there and back', () => {
    const near = zoomed(whole, 3, 200, 450, W, H)
    expect(near.scale).toBe(3)
    expect(at(near, 200, 450)).toEqual([200, 450])
    expect(zoomed(near, 1 / 3, 200, 450, W, H)).toEqual(whole)
  })
  it('fills its frame however it is moved', () => {
    let v = zoomed(whole, 4, 0, 0, W, H)
    for (let i = 0; i < 200; i++) {
      v = i % 7 ? moved(v, ((i * 7919) % 900) - 450, ((i * 104729) % 700) - 350, W, H) : zoomed(v, i % 2 ? 1.7 : 0.4, (i * 31) % W, (i * 17) % H, W, H)
      expect(v.scale).toBeGreaterThanOrEqual(1)
      expect(v.scale).toBeLessThanOrEqual(mostScale)
      expect(v.x).toBeLessThanOrEqual(0)
      expect(v.y).toBeLessThanOrEqual(0)
      expect(v.x + W * v.scale).toBeGreaterThanOrEqual(W - 1e-9)
      expect(v.y + H * v.scale).toBeGreaterThanOrEqual(H - 1e-9)
    }
    expect(clamp({ scale: 0.1, x: 50, y: -50 }, W, H)).toEqual(whole)
    expect(zoomed(whole, 1e9, 1, 1, W, H).scale).toBe(mostScale)
  })
  it('follows two fingers', () => {
    const v = pinched(whole, [{ x: 300, y: 300 }, { x: 500, y: 300 }], [{ x: 200, y: 300 }, { x: 600, y: 300 }], W, H)
    expect(v.scale).toBe(2)
    expect(at(v, 400, 300)).toEqual([400, 300])
    expect(pinched(v, [{ x: 5, y: 5 }, { x: 5, y: 5 }], [{ x: 5, y: 5 }, { x: 9, y: 9 }], W, H).scale).toBe(2)
  })
  it('obeys keys', () => {
    const near = keyed(whole, '+', W, H)!
    expect(near.scale).toBe(1.5)
    expect(keyed(near, '-', W, H)).toEqual(whole)
    expect(keyed(near, 'ArrowRight', W, H)!.x).toBeLessThan(near.x)
    expect(keyed(near, '0', W, H)).toEqual(whole)
    expect(keyed(near, 'x', W, H)).toBeUndefined()
  })
})
