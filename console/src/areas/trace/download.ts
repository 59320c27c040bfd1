import { save } from '@/api'

/** A name that a file may have on any system. */
export function fileName(id: string, ending: string): string {
  return id.replace(/[^\p{L}\p{N}._-]+/gu, '_').slice(0, 80) + '.' + ending
}
export function saveJson(value: unknown, name: string) {
  save(new Blob([JSON.stringify(value, null, 2)], { type: 'application/json' }), name)
}

/** A table as spreadsheets read it: RFC 4180, with a mark that says UTF-8. A text that a spreadsheet would run as a formula is kept from it. */
export function csv(head: string[], rows: unknown[][]): string {
  const cell = (x: unknown) => {
    let s = x === null || x === undefined ? '' : String(x)
    if (typeof x !== 'number' && /^[=+\-@\t\r]/.test(s) && !/^[+-]?\d+(\.\d+)?$/.test(s)) s = "'" + s
    return /[",\r\n]/.test(s) ? '"' + s.replace(/"/g, '""') + '"' : s
  }
  return '\uFEFF' + [head, ...rows].map((r) => r.map(cell).join(',')).join('\r\n') + '\r\n'
}
