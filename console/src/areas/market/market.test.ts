import { render } from 'vue'
import { expect, it } from 'vitest'
import { blocks, inline, Markdown } from './markdown'
import { inFolder, nameOf, wanted } from './model'

it('reads what a README is made of', () => {
  expect(blocks('# A\n\nOne *two*\nthree `x`.\n\n1. a\n   more\n2. **b**\n\n- c\n\n| p | q |\n|---|---|\n| 1 | 2 |\n\n```sh\nls <b>\n```\n').map((b) => b.kind)).toEqual(['heading', 'paragraph', 'list', 'list', 'table', 'code'])
  expect(blocks('1. a\n   more\n2. b')[0]).toEqual({ kind: 'list', ordered: true, items: [[{ kind: 'text', text: 'a more' }], [{ kind: 'text', text: 'b' }]] })
  expect(blocks('|').map((b) => b.kind)).toEqual(['paragraph'])
  expect(blocks('```\nnever closed')).toEqual([{ kind: 'code', text: 'never closed' }])
})

it.each([
  ['[x](javascript:alert(1))', 'x'],
  ['[x](data:text/html,<script>alert(1)</script>)', 'x'],
])('makes no link of %s', (s) => expect(inline(s).some((p) => p.kind === 'link')).toBe(false))

it('makes a link of https', () => expect(inline('[x](https://example.com/a)')).toEqual([{ kind: 'link', text: 'x', to: 'https://example.com/a' }]))

it('makes no element of markup in the text', () => {
  const at = document.createElement('div')
  render(Markdown({ text: '# <img src=x onerror=alert(1)>\n\n<script>alert(1)</script> **<b onclick=x>y</b>**\n\n| <i>a</i> |\n|--|\n| <svg onload=x> |', under: 1 }), at)
  expect(at.querySelectorAll('img,script,b,i,svg').length).toBe(0)
  expect(at.textContent).toContain('<script>alert(1)</script>')
})

it('ends on any text', () => {
  const parts = ['|', '#', '`', '*', '-', '1.', '\n', ' ', 'a', '[', '](', ')', '```']
  let seed = 7
  for (let i = 0; i < 2000; i++) {
    let s = ''
    for (let k = 0; k < 12; k++) s += parts[(seed = (seed * 1103515245 + 12345) & 0x7fffffff) % parts.length]
    blocks(s)
  }
})

it('knows the files of a case', () => {
  expect(inFolder('mine/flows/a.yaml')).toBe('flows/a.yaml')
  expect(inFolder('a.yaml')).toBe('a.yaml')
  expect(wanted('mine/.git/config.yaml')).toBe(false)
  expect(wanted('mine/story.txt')).toBe(true)
  expect(wanted('mine/a.exe')).toBe(false)
  expect(nameOf('# x\nsolution: "mine"  # y\nversion: 1')).toBe('mine')
  expect(nameOf('  solution: mine')).toBeUndefined()
})
