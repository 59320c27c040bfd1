import { afterEach, describe, expect, it, vi } from 'vitest'
import { character, listen, Wedge } from './wedge'

function type(w: Wedge, text: string, gap: number, from = 1000): number {
  let at = from
  for (const c of text) {
    w.key(c, at)
    at += gap
  }
  return at
}

describe('Wedge', () => {
  it('knows a scanner by its pace', () => {
    const w = new Wedge()
    type(w, '88.118.1001/PUMP-1', 8)
    expect(w.end()).toBe('88.118.1001/PUMP-1')
  })
  it('takes nothing from fingers', () => {
    const w = new Wedge()
    type(w, '88.118.1001/P', 110)
    expect(w.end()).toBeUndefined()
  })
  it('forgives one stutter, not two', () => {
    const w = new Wedge()
    let at = type(w, '88.118.1001', 8)
    at = type(w, '/PUMP', 8, at + 90)
    expect(w.burst).toBe(true)
    type(w, '-12345678', 8, at + 90)
    expect(w.end()).toBeUndefined()
  })
  it('begins anew after silence', () => {
    const w = new Wedge()
    type(w, 'abc', 8)
    type(w, '88.118/X', 8, 5000)
    expect(w.end()).toBe('88.118/X')
  })
  it('takes text that comes at once, and nothing shorter than a code', () => {
    const w = new Wedge()
    w.key('88.118/X', 5)
    expect(w.end()).toBe('88.118/X')
    w.key('abc', 9)
    expect(w.end()).toBeUndefined()
  })
})

it('knows the separator and what is no character', () => {
  const key = (key: string, ctrlKey = false) => character({ key, ctrlKey, altKey: false, metaKey: false })
  expect(key('a')).toBe('a')
  expect(key('泵')).toBe('泵')
  expect(key(']', true)).toBe('\x1d')
  expect(key('c', true)).toBeUndefined()
  expect(key('Shift')).toBeUndefined()
})

describe('listen', () => {
  let stop = () => {}
  afterEach(() => {
    stop()
    vi.useRealTimers()
    document.body.replaceChildren()
  })
  // Browsers put the character in after keydown; jsdom does not.
  function press(el: Element, text: string, gap: number, from = 10_000) {
    let at = from
    for (const c of text) {
      const e = new KeyboardEvent('keydown', { key: c, bubbles: true, cancelable: true })
      Object.defineProperty(e, 'timeStamp', { value: (at += gap) })
      el.dispatchEvent(e)
      if (!e.defaultPrevented && el instanceof HTMLInputElement) el.value += c
    }
    const e = new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true })
    Object.defineProperty(e, 'timeStamp', { value: at + gap })
    el.dispatchEvent(e)
    return e
  }

  it('waits in the middle of a code for a scanner that is known to send Enter, and loses nothing of it', () => {
    const found: string[] = []
    stop = listen((c) => found.push(c))
    const part = (text: string, from: number) => {
      for (const [i, c] of [...text].entries()) {
        const e = new KeyboardEvent('keydown', { key: c, bubbles: true, cancelable: true })
        Object.defineProperty(e, 'timeStamp', { value: from + 5 * i })
        document.body.dispatchEvent(e)
      }
    }
    part('88.118.', 1_000)
    press(document.body, '1001/P', 5, 1_900)
    expect(found).toEqual(['1001/P'])
    part('88.118.', 5_000)
    press(document.body, '1001/P', 5, 5_900)
    expect(found).toEqual(['1001/P', '88.118.1001/P'])
    // Two letters of somebody's are over sooner.
    part('ab', 9_000)
    press(document.body, '88.118.1001/Q', 5, 9_900)
    expect(found[2]).toBe('88.118.1001/Q')
  })
  it('hears a code on the page and keeps its Enter from pressing a button', () => {
    const found: string[] = []
    stop = listen((c) => found.push(c))
    expect(press(document.body, '88.118.1001/A', 6).defaultPrevented).toBe(true)
    expect(found).toEqual(['88.118.1001/A'])
  })
  it('takes a code out of a field that is not for codes', () => {
    const found: string[] = []
    stop = listen((c) => found.push(c))
    const input = document.body.appendChild(document.createElement('input'))
    input.value = '12'
    press(input, '88.118.1001/A', 6)
    expect(input.value).toBe('12')
    expect(found).toEqual(['88.118.1001/A'])
  })
  it('gives a code whole to a field that is for codes', () => {
    const found: string[] = []
    stop = listen((c) => found.push(c))
    const input = document.body.appendChild(document.createElement('input'))
    input.dataset.scan = ''
    input.value = 'old'
    press(input, '88.118.1001/B', 6)
    expect(input.value).toBe('88.118.1001/B')
    expect(found).toEqual([])
  })
  it('leaves typing alone', () => {
    const found: string[] = []
    stop = listen((c) => found.push(c))
    const input = document.body.appendChild(document.createElement('input'))
    expect(press(input, 'hello', 150).defaultPrevented).toBe(false)
    expect(input.value).toBe('hello')
    expect(found).toEqual([])
  })
  it('ends a code without Enter after silence', () => {
    vi.useFakeTimers()
    const found: string[] = []
    stop = listen((c) => found.push(c))
    let at = 10_000
    for (const c of '88.118/Z') {
      const e = new KeyboardEvent('keydown', { key: c, bubbles: true })
      Object.defineProperty(e, 'timeStamp', { value: (at += 5) })
      document.body.dispatchEvent(e)
    }
    expect(found).toEqual([])
    vi.advanceTimersByTime(400)
    expect(found).toEqual(['88.118/Z'])
  })
  it('waits for the Enter of a scanner that has sent one before', () => {
    vi.useFakeTimers()
    const found: string[] = []
    stop = listen((c) => found.push(c))
    press(document.body, '88.118/A', 5)
    let at = 50_000
    const half = (text: string) => {
      for (const c of text) {
        const e = new KeyboardEvent('keydown', { key: c, bubbles: true })
        Object.defineProperty(e, 'timeStamp', { value: (at += 5) })
        document.body.dispatchEvent(e)
      }
    }
    half('88.118/')
    vi.advanceTimersByTime(800)
    expect(found).toEqual(['88.118/A'])
    press(document.body, 'LONG', 5, at + 5)
    expect(found).toEqual(['88.118/A', '88.118/LONG'])
  })
})
