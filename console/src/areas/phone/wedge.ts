// A scanner that types: it is told from fingers by its pace. Nobody types six characters at a thirtieth of a second each.

export interface WedgeOptions {
  /** Milliseconds between two characters of a scanner at most. */
  pace?: number
  /** Milliseconds of silence after which a code without Enter is taken to be over. */
  silence?: number
  /** Characters that a code has at least. */
  least?: number
}

/** Wedge collects characters with their times, and says when they were a scanner's. */
export class Wedge {
  private text = ''
  private last = 0
  private gaps = 0
  readonly pace: number
  /** For how long a scanner may be silent in the middle of a code: as long as silence says, until it is known to send Enter. */
  patience: number
  readonly silence: number
  readonly least: number

  constructor(o: WedgeOptions = {}) {
    this.pace = o.pace ?? 50
    this.silence = o.silence ?? 300
    this.patience = this.silence
    this.least = o.least ?? 4
  }

  /** key takes a character (or several at once) at a time in milliseconds. */
  key(text: string, at: number) {
    // What fingers typed is over sooner than a code that came at a scanner's pace.
    if (this.text && at - this.last > (this.burst ? this.patience : this.silence)) this.drop()
    if (this.text && at - this.last > this.pace) this.gaps++
    this.text += text
    this.last = at
  }

  /** burst says whether what has come so far is a scanner's: fast from end to end. One slow gap is forgiven, since a busy page stutters. */
  get burst(): boolean {
    const n = [...this.text].length
    return n >= this.least && this.gaps <= 1
  }

  /** end is what was scanned, at Enter or Tab or after silence; undefined when it was typed by hand. */
  end(): string | undefined {
    const code = this.burst ? this.text : undefined
    this.drop()
    return code
  }

  drop() {
    this.text = ''
    this.gaps = 0
    this.last = 0
  }
}

/** character is what a key means to a scanner's code; undefined for keys that are none. Scanners send the group separator as Ctrl+]. */
export function character(e: Pick<KeyboardEvent, 'key' | 'ctrlKey' | 'altKey' | 'metaKey'>): string | undefined {
  if (e.ctrlKey && !e.altKey && (e.key === ']' || e.key === '\x1d')) return '\x1d'
  if (e.ctrlKey || e.altKey || e.metaKey) return undefined
  return [...e.key].length === 1 ? e.key : undefined
}

/** How long a scanner that has sent Enter before is waited for: half a code is worse than a late one. */
export const patience = 1500

function editable(e: EventTarget | null): HTMLInputElement | HTMLTextAreaElement | undefined {
  if (e instanceof HTMLTextAreaElement) return e
  if (e instanceof HTMLInputElement && !/^(checkbox|radio|button|submit|file|range|color)$/.test(e.type)) return e
  return undefined
}

function put(field: HTMLInputElement | HTMLTextAreaElement, value: string) {
  field.value = value
  field.dispatchEvent(new Event('input', { bubbles: true }))
}

/**
 * listen hears a scanner anywhere on the page. What it typed into a field is taken out of it again, and goes into the field whole when that
 * is one for codes (data-scan), else to found.
 */
export function listen(found: (code: string) => void, o: WedgeOptions = {}, target: Document = document): () => void {
  const w = new Wedge(o)
  let timer: ReturnType<typeof setTimeout> | undefined
  let enters = false
  let before: string | undefined
  let field: HTMLInputElement | HTMLTextAreaElement | undefined
  const finish = (e?: KeyboardEvent) => {
    clearTimeout(timer)
    const code = w.end()
    const was = before
    const into = field
    before = field = undefined
    if (code === undefined) return
    if (e) {
      enters = true
      w.patience = Math.max(w.silence, patience)
    }
    e?.preventDefault()
    e?.stopPropagation()
    if (into?.dataset.scan !== undefined) {
      put(into, code)
      return
    }
    if (into && was !== undefined) put(into, was)
    found(code)
  }
  const down = (e: KeyboardEvent) => {
    if (e.isComposing) return
    if (e.key === 'Enter' || e.key === 'Tab') {
      finish(e)
      return
    }
    const c = character(e)
    if (c === undefined) {
      if (e.key === 'Escape' || e.key === 'Backspace') w.drop()
      return
    }
    // What stood in the field before the first character, to put it back.
    const now = editable(e.target)
    if (now !== field || !w.burst) {
      const fresh = e.timeStamp - lastAt > (w.burst ? w.patience : w.silence) || now !== field
      if (fresh) {
        field = now
        before = now?.value
      }
    }
    if (c === '\x1d') e.preventDefault()
    lastAt = e.timeStamp
    w.key(c, e.timeStamp)
    clearTimeout(timer)
    // On a page that was busy, keys may wait behind this timer: they are heard before the code is taken to be over.
    timer = setTimeout(() => (timer = setTimeout(() => finish(), 30)), enters ? patience : w.silence)
  }
  let lastAt = -1e9
  target.addEventListener('keydown', down, true)
  return () => {
    clearTimeout(timer)
    target.removeEventListener('keydown', down, true)
  }
}
