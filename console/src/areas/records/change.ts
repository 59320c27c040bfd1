// The ledger's entry of a change, as people read it.
export interface Change {
  entry: number
  time: string
  op: string
  by?: string
}

/** change reads a proof's entry; null when it is sealed, or is no entry. */
export function change(p: { entry: number; line?: string; opened?: { name: string; value: string }[] | null }): Change | null {
  try {
    const x = JSON.parse(p.line ?? '') as { time?: unknown; op?: unknown }
    if (typeof x?.time !== 'string' || typeof x.op !== 'string') return null
    const who = p.opened?.find((o) => o.name === 'by')?.value
    // Who it was is told as INDEX:IDENTIFIER.
    const by = who ? new TextDecoder().decode(Uint8Array.from(atob(who), (c) => c.charCodeAt(0))).replace(/^\d+:/, '') : undefined
    return { entry: p.entry, time: x.time, op: x.op, by: by?.includes('/') ? by : undefined }
  } catch {
    return null
  }
}
