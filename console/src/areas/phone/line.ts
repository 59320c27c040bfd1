// The one queue of this device, and what the screens show of it.
import { computed, ref, shallowRef, triggerRef, watch } from 'vue'
import { Fault, raw } from '@/api'
import { me } from '@/session'
import { Kept } from './idb'
import { NotSent, Queue, skew, type Item } from './queue'
import type { Result, Scan } from './types'

/** Every item of the device, in order. */
export const items = shallowRef<Item[]>([])
/** Whether the node answered last time; the browser's own opinion is only a hint. */
export const online = ref(navigator.onLine)
export const sending = ref(false)
export const fault = shallowRef<NotSent | null>(null)
/** Seconds that this device's clock is ahead of the node's. */
export const ahead = ref(0)
/** Set when the browser keeps nothing: private windows, no room. */
export const unkept = ref('')

export const mine = computed(() => items.value.filter((x) => x.who === me.value?.user))
export const waiting = computed(() => mine.value.filter((x) => x.state === 'waiting'))
export const others = computed(() => items.value.filter((x) => x.state === 'waiting' && x.who !== me.value?.user))
export const toSee = computed(() => mine.value.filter((x) => x.state === 'look' && !x.seen))

/** ask sends to the node, and learns from the answer whether it can be reached and what its clock says. */
export async function ask<T>(method: string, path: string, body?: unknown, signal?: AbortSignal): Promise<T> {
  const asked = Date.now()
  try {
    const r = await raw(method, path, body, { signal })
    online.value = true
    ahead.value = skew(r.headers.get('Date'), asked, Date.now()) ?? ahead.value
    return (await r.json()) as T
  } catch (e) {
    if (e instanceof Fault) online.value = e.status !== 0 && e.status !== 502 && e.status !== 504
    throw e
  }
}

/** away says whether an error means that the node could not be asked, so that the scan is to wait. */
export function away(e: unknown): boolean {
  return e instanceof Fault && (e.status === 0 || e.status === 429 || e.status === 502 || e.status === 503 || e.status === 504)
}

async function send(scans: Scan[]): Promise<Result[]> {
  try {
    return (await ask<{ results: Result[] }>('POST', '/api/flow-scan-batches', { scans })).results
  } catch (e) {
    if (!(e instanceof Fault)) throw new NotSent(e instanceof Error ? e.message : String(e), true)
    throw new NotSent(e.message, away(e) || e.status >= 500, e.status === 401)
  }
}

export const queue = new Queue({
  storage: new Kept(),
  send,
  changed(list) {
    items.value = [...list]
    sending.value = queue?.sending ?? false
    fault.value = queue?.fault ?? null
    triggerRef(items)
  },
})

let loaded: Promise<void> | undefined

/** ready is kept when what an earlier page left has been read. */
export function ready(): Promise<void> {
  loaded ??= queue.load().catch((e) => {
    unkept.value = e instanceof Error ? e.message : String(e)
  })
  return loaded
}

/** flush sends what waits. Of several tabs only one sends: the numbers would keep it right, but two answers would be shown. */
export async function flush(): Promise<number> {
  await ready()
  const who = me.value?.user
  if (!who || !queue.waiting(who).length) return 0
  if (!navigator.locks) return queue.flush(who)
  return navigator.locks.request('fujie-scans', { ifAvailable: true }, async (lock) => {
    if (!lock) return 0
    // Another tab may have sent some of them meanwhile.
    await queue.load()
    return queue.flush(who)
  })
}

let timer: ReturnType<typeof setTimeout> | undefined
let wait = 2000

function later() {
  clearTimeout(timer)
  if (!waiting.value.length) {
    wait = 2000
    return
  }
  timer = setTimeout(async () => {
    const n = await flush().catch(() => 0)
    wait = n ? 2000 : Math.min(wait * 2, 60_000)
    later()
  }, wait)
}

let begun = false

/** begin keeps sending as long as the page is open: at once when the network comes back, else less and less often. */
export function begin() {
  if (begun) return
  begun = true
  void ready().then(() => flush())
  const now = () => {
    wait = 2000
    void flush().finally(later)
  }
  addEventListener('online', () => {
    online.value = true
    now()
  })
  addEventListener('offline', () => (online.value = false))
  document.addEventListener('visibilitychange', () => document.visibilityState === 'visible' && now())
  watch(() => waiting.value.length, later)
  watch(() => me.value?.user, now)
  // Without this a browser that is short of room may forget them.
  void navigator.storage?.persist?.().catch(() => undefined)
}
