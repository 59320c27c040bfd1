import type { Item, Storage } from './queue'

function asked<T>(r: IDBRequest<T>): Promise<T> {
  return new Promise((ok, bad) => {
    r.onsuccess = () => ok(r.result)
    r.onerror = () => bad(r.error)
  })
}

function done(t: IDBTransaction): Promise<void> {
  return new Promise((ok, bad) => {
    t.oncomplete = () => ok()
    t.onerror = t.onabort = () => bad(t.error)
  })
}

/** Scans kept by the browser's own database: they are there after a reload, a crash and a flat battery. */
export class Kept implements Storage {
  private db?: Promise<IDBDatabase>

  private open(): Promise<IDBDatabase> {
    this.db ??= new Promise((ok, bad) => {
      const r = indexedDB.open('fujie-scans', 1)
      r.onupgradeneeded = () => r.result.createObjectStore('scans', { keyPath: 'no' })
      r.onsuccess = () => {
        r.result.onversionchange = () => r.result.close()
        ok(r.result)
      }
      r.onerror = () => bad(r.error)
    })
    return this.db
  }

  async all(): Promise<Item[]> {
    return asked((await this.open()).transaction('scans').objectStore('scans').getAll() as IDBRequest<Item[]>)
  }

  async put(item: Item) {
    // strict: a scan that was confirmed by a beep must survive the battery.
    const t = (await this.open()).transaction('scans', 'readwrite', { durability: 'strict' })
    t.objectStore('scans').put(JSON.parse(JSON.stringify(item)))
    await done(t)
  }

  async remove(no: number) {
    const t = (await this.open()).transaction('scans', 'readwrite')
    t.objectStore('scans').delete(no)
    await done(t)
  }
}
