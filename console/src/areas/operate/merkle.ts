// The proof that an entry is in a log, checked by this browser: nobody's word is taken for it, but that of who signed the checkpoint.

const raw = (s: string) => Uint8Array.from(atob(s), (c) => c.charCodeAt(0))
export const text = (b: Uint8Array) => btoa(String.fromCharCode(...b))

async function hash(...parts: Uint8Array[]): Promise<Uint8Array> {
  const all = new Uint8Array(parts.reduce((n, p) => n + p.length, 0))
  let at = 0
  for (const p of parts) {
    all.set(p, at)
    at += p.length
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', all))
}

/** rootOf is the root hash that follows from an entry, its number (from 0) in a log of size entries, and its path (RFC 9162, 2.1.3.2); null when the path does not fit. */
export async function rootOf(leaf: Uint8Array, index: number, size: number, path: Uint8Array[]): Promise<Uint8Array | null> {
  if (!Number.isSafeInteger(index) || !Number.isSafeInteger(size) || index < 0 || index >= size) return null
  let fn = index
  let sn = size - 1
  let r = await hash(new Uint8Array([0]), leaf)
  for (const p of path) {
    if (sn === 0 || p.length !== 32) return null
    if (fn % 2 === 1 || fn === sn) {
      r = await hash(new Uint8Array([1]), p, r)
      while (fn % 2 === 0 && fn !== 0) {
        fn = Math.floor(fn / 2)
        sn = Math.floor(sn / 2)
      }
    } else {
      r = await hash(new Uint8Array([1]), r, p)
    }
    fn = Math.floor(fn / 2)
    sn = Math.floor(sn / 2)
  }
  return sn === 0 ? r : null
}

export interface Checkpoint { origin: string; size: number; root: string; signatures: { name: string }[] }

/** readCheckpoint reads a checkpoint (C2SP tlog-checkpoint): its first three lines, and who signed it. */
export function readCheckpoint(note: string): Checkpoint | null {
  const [head, tail] = note.split('\n\n', 2)
  const lines = (head ?? '').split('\n')
  if (lines.length < 3 || !/^\d{1,15}$/.test(lines[1]!) || !/^[A-Za-z0-9+/]{43}=$/.test(lines[2]!)) return null
  return { origin: lines[0]!, size: Number(lines[1]), root: lines[2]!, signatures: (tail ?? '').split('\n').flatMap((l) => /^— (\S+) \S+$/.exec(l)?.[1] ?? []).map((name) => ({ name })) }
}

export interface Proof { entry: number; leaf: string; path: string[] | null; checkpoint: string; line?: string; nonce?: string }

/** check says whether the proof holds: the entry is under the root of the checkpoint, and what it says is what was committed to. */
export async function check(p: Proof): Promise<{ included: boolean; opened: boolean | null; at: Checkpoint | null }> {
  const at = readCheckpoint(p.checkpoint)
  try {
    const leaf = raw(p.leaf)
    const root = at && (await rootOf(leaf, p.entry - 1, at.size, (p.path ?? []).map(raw)))
    let opened: boolean | null = null
    if (p.line !== undefined && p.nonce !== undefined) opened = text(await hash(raw(p.nonce), new TextEncoder().encode(p.line))) === p.leaf
    return { included: root !== null && at !== null && text(root) === at.root, opened, at }
  } catch {
    return { included: false, opened: false, at }
  }
}
