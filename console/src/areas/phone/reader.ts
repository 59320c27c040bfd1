import type { Ask, Found, Told } from './reader.worker'

export type { Found }

/** Reader finds symbols in pictures, one picture at a time. */
export class Reader {
  private worker: Worker
  private no = 0
  private waiting = new Map<number, { ok: (f: Found[]) => void; bad: (e: Error) => void }>()

  constructor() {
    this.worker = new Worker(new URL('./reader.worker.ts', import.meta.url), { type: 'module' })
    this.worker.onmessage = (e: MessageEvent<Told>) => {
      const w = this.waiting.get(e.data.no)
      this.waiting.delete(e.data.no)
      if (e.data.error) w?.bad(new Error(e.data.error))
      else w?.ok(e.data.found)
    }
    this.worker.onerror = (e) => {
      for (const w of this.waiting.values()) w.bad(new Error(e.message || 'worker'))
      this.waiting.clear()
    }
  }

  read(image: ImageData, hard: boolean): Promise<Found[]> {
    const no = ++this.no
    return new Promise((ok, bad) => {
      this.waiting.set(no, { ok, bad })
      this.worker.postMessage({ no, image, hard } satisfies Ask, [image.data.buffer])
    })
  }

  stop() {
    this.worker.terminate()
    this.waiting.clear()
  }
}

/** Repeats says whether a code is the one that is still in front of the camera: taken once, it counts again only when it was away for a while. */
export class Repeats {
  private last = new Map<string, number>()
  constructor(private away = 1500) {}

  fresh(code: string, at: number): boolean {
    const was = this.last.get(code)
    this.last.set(code, at)
    if (this.last.size > 50) for (const [k, t] of this.last) if (at - t > this.away) this.last.delete(k)
    return was === undefined || at - was > this.away
  }
}
