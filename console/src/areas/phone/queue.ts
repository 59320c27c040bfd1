// Scans wait here until the node has answered each of them. A scan has its own number from the moment it is made: sent twice it is still one
// scan (the node answers with what it said the first time), so that nothing has to be remembered about a batch whose answer was lost.
import type { Result, Scan } from './types'

export type ItemState =
  /** Not answered yet. */
  | 'waiting'
  /** The node took it, and nothing is to be done by anybody. */
  | 'done'
  /** The node answered, and a person must look: it was refused or stopped, asks for a form, or somebody else did the step meanwhile. */
  | 'look'

export interface Item {
  /** Counts up on this device: the order in which scans were made. */
  no: number
  /** Who made it; only their own session may send it. */
  who: string
  scan: Scan & { id: string; at: string }
  state: ItemState
  /** What the person saw when scanning: the flow's and the step's names. */
  title?: string
  result?: Result
  /** When the node's answer came, by this device's clock. */
  answered?: string
  tries: number
  /** A person has seen what became of it. */
  seen?: boolean
}

/** Where items are kept. put and remove are durable when their promise is kept. */
export interface Storage {
  all(): Promise<Item[]>
  put(item: Item): Promise<void>
  remove(no: number): Promise<void>
}

export class Memory implements Storage {
  private items = new Map<number, Item>()
  async all() {
    return [...this.items.values()].map((x) => structuredClone(x)).sort((a, b) => a.no - b.no)
  }
  async put(item: Item) {
    this.items.set(item.no, structuredClone(item))
  }
  async remove(no: number) {
    this.items.delete(no)
  }
}

/** What Send throws: retry says whether the same batch may do better later. */
export class NotSent extends Error {
  constructor(
    message: string,
    public retry: boolean,
    public login = false,
  ) {
    super(message)
  }
}

/** Send hands scans to the node in their order, and answers one result for each. */
export type Send = (scans: Scan[]) => Promise<Result[]>

export interface Options {
  storage: Storage
  send: Send
  now?: () => Date
  newId?: () => string
  /** Scans at once. */
  batch?: number
  /** How many answered items are kept to be looked at. */
  keep?: number
  changed?: (items: Item[]) => void
}

const again = new Set(['busy', 'unreachable', 'canceled', 'full', 'read-only', 'internal'])

/** So often is a scan sent that the node fails at by its own fault, before a person is asked. */
const patience = 5

/** settled says what a result means for the item that it answers. */
export function settled(r: Result, tries = 0): ItemState {
  if (r.error) return again.has(r.kind ?? '') && (r.kind !== 'internal' || tries < patience) ? 'waiting' : 'look'
  if (r.verdict === 'passed' || r.verdict === 'warned' || r.verdict === 'diverted') return 'done'
  return 'look'
}

/** lane is what must stay in order: the scans of a run, with the one that began it. */
export function lane(s: Scan): string {
  if (!s.run) return s.id ?? ''
  return s.run.startsWith('@') ? s.run.slice(1) : 'run ' + s.run
}

export class Queue {
  items: Item[] = []
  /** Why the last attempt ended, when it did not end well. */
  fault: NotSent | null = null
  sending = false
  /** Those that a screen is sending by itself, and waits for. */
  readonly flying = new Set<number>()
  private last = 0
  private readonly batch: number
  private readonly keep: number
  private readonly now: () => Date
  private readonly newId: () => string

  constructor(private o: Options) {
    this.batch = o.batch ?? 200
    this.keep = o.keep ?? 300
    this.now = o.now ?? (() => new Date())
    this.newId = o.newId ?? (() => crypto.randomUUID())
  }

  /** load reads what an earlier page left. */
  async load() {
    // Items that screens hold stay the same objects.
    const known = new Map(this.items.map((x) => [x.no, x]))
    this.items = (await this.o.storage.all()).map((x) => {
      const was = known.get(x.no)
      return was ? (this.flying.has(x.no) ? was : Object.assign(was, x)) : x
    })
    this.items.sort((a, b) => a.no - b.no)
    this.last = this.items.at(-1)?.no ?? 0
    this.changed()
  }

  private changed() {
    this.o.changed?.(this.items)
  }

  waiting(who?: string): Item[] {
    return this.items.filter((x) => x.state === 'waiting' && (who === undefined || x.who === who))
  }

  /** add keeps a scan; it is durable when the promise is kept. */
  async add(who: string, scan: Scan, title?: string): Promise<Item> {
    const at = this.now().toISOString()
    // Another tab may have added meanwhile: the number only has to be new and larger.
    const no = Math.max(this.last + 1, this.now().getTime() * 16)
    this.last = no
    const item: Item = { no, who, title, state: 'waiting', tries: 0, scan: { ...scan, id: scan.id ?? this.newId(), at: scan.at ?? at } }
    await this.o.storage.put(item)
    this.items.push(item)
    this.changed()
    return item
  }

  /** answer keeps what the node said of an item. */
  async answer(item: Item, r: Result) {
    item.tries++
    item.state = settled(r, item.tries)
    item.result = r
    if (item.state !== 'waiting') item.answered = this.now().toISOString()
    await this.o.storage.put(item)
    this.changed()
  }

  /**
   * flush sends what waits, in order, in batches, until nothing is left or something is in the way; it answers how many were settled.
   * A scan that has to wait (the node was busy) holds back only the scans of its own run.
   */
  async flush(who: string): Promise<number> {
    if (this.sending) return 0
    this.sending = true
    this.fault = null
    this.changed()
    let settledNow = 0
    try {
      const held = new Set<string>()
      let done = -1
      let size = this.batch
      for (;;) {
        const list = this.waiting(who).filter((x) => x.no > done && !this.flying.has(x.no) && !held.has(lane(x.scan))).slice(0, size)
        if (!list.length) break
        const sent = this.now().toISOString()
        let results: Result[]
        try {
          results = await this.o.send(list.map((x) => ({ ...x.scan, sent })))
        } catch (e) {
          const fault = e instanceof NotSent ? e : new NotSent(e instanceof Error ? e.message : String(e), true)
          if (!fault.retry && !fault.login) {
            // The node refuses the whole batch for one scan in it: each alone, so that the one at fault is found and the others go on.
            if (list.length > 1) {
              size = 1
              continue
            }
            done = list[0]!.no
            await this.answer(list[0]!, { error: fault.message, kind: 'bad-request' })
            settledNow++
            continue
          }
          this.fault = fault
          for (const x of list) {
            x.tries++
            await this.o.storage.put(x)
          }
          break
        }
        done = list.at(-1)!.no
        for (const [i, x] of list.entries()) {
          const r = results[i]
          if (!r) continue
          await this.answer(x, r)
          if (x.state === 'waiting') held.add(lane(x.scan))
          else settledNow++
        }
      }
      await this.trim()
    } finally {
      this.sending = false
      this.changed()
    }
    return settledNow
  }

  /** amend gives a scan that was answered with a question its form, and sends it again under its own number. */
  async amend(item: Item, change: Partial<Scan>) {
    item.scan = { ...item.scan, ...change, id: item.scan.id, at: item.scan.at }
    item.state = 'waiting'
    item.result = undefined
    await this.o.storage.put(item)
    this.changed()
  }

  /** see marks an answer as seen: it is not counted any more among what somebody must look at. */
  async see(item: Item) {
    item.seen = true
    await this.o.storage.put(item)
    this.changed()
  }

  /** drop forgets an item that the node has not taken. */
  async drop(item: Item) {
    this.items = this.items.filter((x) => x !== item)
    await this.o.storage.remove(item.no)
    this.changed()
  }

  /** restore puts a dropped item back where it stood. */
  async restore(item: Item) {
    await this.o.storage.put(item)
    this.items.push(item)
    this.items.sort((a, b) => a.no - b.no)
    this.changed()
  }

  /** clear forgets what is settled and seen. */
  async clear() {
    for (const x of this.items.filter((x) => x.state === 'done' || x.seen)) await this.drop(x)
  }

  private async trim() {
    const old = this.items.filter((x) => x.state === 'done')
    for (const x of old.slice(0, Math.max(0, old.length - this.keep))) await this.drop(x)
  }
}

/** skew is by how many seconds this device's clock is ahead of the node's, from the Date header of an answer and when it was asked and came. */
export function skew(date: string | null, asked: number, came: number): number | undefined {
  if (!date) return undefined
  const node = Date.parse(date)
  if (Number.isNaN(node)) return undefined
  // Date has whole seconds: its middle is the best guess, and less than two seconds are not worth a word.
  const off = ((asked + came) / 2 - (node + 500)) / 1000
  return Math.abs(off) < 2 ? 0 : Math.round(off)
}
