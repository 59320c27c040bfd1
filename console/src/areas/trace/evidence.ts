// A file of evidence, as far as a page reads it before it is checked.
export interface Evidence {
  version: number
  question?: { things?: string[] }
  asker?: string
  made?: string
  answers: { owner: string; url?: string; request: string; body: string; statement: string }[]
  certificates: Record<string, string[]>
}
export interface Verdict {
  owner: string
  by: string
  key: string
  time: string
  digest: string
  events: number
  proofs: number
  chain?: string[]
  holds: boolean
  en?: string
  zh?: string
}

/** evidence reads a file; undefined when it is none. */
export function evidence(text: string): Evidence | undefined {
  try {
    const x = JSON.parse(text)
    // A file of a whole answer holds its evidence.
    const e = x && typeof x === 'object' && x.evidence ? x.evidence : x
    return e && e.version === 1 && Array.isArray(e.answers) && typeof e.certificates === 'object' ? e : undefined
  } catch {
    return undefined
  }
}

/** An answer as it was signed: its body is base64 in the file. */
export function opened(body: string): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(body), (c) => c.charCodeAt(0))))
  } catch {
    return body
  }
}
