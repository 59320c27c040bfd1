import { expect, it } from 'vitest'
import { check, readCheckpoint, rootOf, text } from './merkle'

const bytes = (s: string) => new TextEncoder().encode(s)
async function sha(...parts: Uint8Array[]) {
  const all: number[] = []
  for (const p of parts) all.push(...p)
  return new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(all)))
}
// The tree as RFC 9162 defines it, without any cleverness.
async function tree(leaves: Uint8Array[]): Promise<Uint8Array> {
  if (leaves.length === 1) return sha(new Uint8Array([0]), leaves[0]!)
  const k = 2 ** Math.ceil(Math.log2(leaves.length) - 1)
  return sha(new Uint8Array([1]), await tree(leaves.slice(0, k)), await tree(leaves.slice(k)))
}
async function pathOf(i: number, leaves: Uint8Array[]): Promise<Uint8Array[]> {
  if (leaves.length === 1) return []
  const k = 2 ** Math.ceil(Math.log2(leaves.length) - 1)
  return i < k ? [...(await pathOf(i, leaves.slice(0, k))), await tree(leaves.slice(k))] : [...(await pathOf(i - k, leaves.slice(k))), await tree(leaves.slice(0, k))]
}

it('finds the root from every entry of logs of every size', async () => {
  for (let n = 1; n <= 20; n++) {
    const leaves = Array.from({ length: n }, (_, i) => bytes('entry ' + i))
    const root = text(await tree(leaves))
    for (let i = 0; i < n; i++) {
      const path = await pathOf(i, leaves)
      expect(text((await rootOf(leaves[i]!, i, n, path))!)).toBe(root)
      const other = await rootOf(bytes('another'), i, n, path)
      expect(other && text(other)).not.toBe(root)
      expect(await rootOf(leaves[i]!, i, n, [...path, new Uint8Array(32)])).toBe(null)
      if (path.length) expect(await rootOf(leaves[i]!, i, n, path.slice(1))).toBe(null)
    }
    expect(await rootOf(leaves[0]!, n, n, [])).toBe(null)
  }
})

it('reads checkpoints, and refuses what is none', () => {
  const root = text(new Uint8Array(32))
  expect(readCheckpoint(`fujie/88/x/changes\n7\n${root}\n\n— fujie/88/x/changes AAAA\n— w/witness BBBB\n`)).toEqual({ origin: 'fujie/88/x/changes', size: 7, root, signatures: [{ name: 'fujie/88/x/changes' }, { name: 'w/witness' }] })
  for (const s of ['', 'a\nb\nc\n\n', `a\n-1\n${root}\n\n`, `a\n1\nshort\n\n`]) expect(readCheckpoint(s)).toBe(null)
})

it('checks that what is behind a commitment is what was committed to', async () => {
  const nonce = bytes('0123456789abcdef')
  const leaf = await sha(nonce, bytes('{"a":1}'))
  const p = { entry: 1, leaf: text(leaf), path: [], checkpoint: `o\n1\n${text(await tree([leaf]))}\n\n— o A\n`, line: '{"a":1}', nonce: text(nonce) }
  expect(await check(p)).toMatchObject({ included: true, opened: true })
  expect(await check({ ...p, line: '{"a":2}' })).toMatchObject({ included: true, opened: false })
  expect(await check({ ...p, leaf: '!' })).toMatchObject({ included: false })
  expect(await check({ ...p, entry: 2 })).toMatchObject({ included: false })
})
