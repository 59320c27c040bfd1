// Tables that people have: CSV as Excel writes it in China (GB18030 or UTF-8), XLSX, and lines of JSON.
export interface Table {
  /** What the columns are called. */
  columns: string[]
  rows: string[][]
  encoding?: string
}

/** A file that is no table; its message is a key of the words. */
export class NoTable extends Error {}

/** The largest file that is read, in bytes. */
export const largest = 64 << 20
/** The most rows of one file. */
export const mostRows = 200_000

/** decode tells UTF-8 from GB18030 by what can be neither. */
export function decode(data: Uint8Array, encoding = 'auto'): { text: string; encoding: string } {
  if (encoding !== 'auto') return { text: new TextDecoder(encoding).decode(data), encoding }
  if (data[0] === 0xff && data[1] === 0xfe) return { text: new TextDecoder('utf-16le').decode(data), encoding: 'utf-16le' }
  try {
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(data), encoding: 'utf-8' }
  } catch {
    return { text: new TextDecoder('gb18030').decode(data), encoding: 'gb18030' }
  }
}

/** separator is the character that stands most often in the first line, outside of quotes. */
export function separator(text: string): string {
  const n: Record<string, number> = { ',': 0, ';': 0, '\t': 0 }
  let quoted = false
  for (const c of text.slice(0, 100_000)) {
    if (c === '"') quoted = !quoted
    else if (!quoted && c === '\n') break
    else if (!quoted && c in n) n[c]!++
  }
  return Object.entries(n).sort((a, b) => b[1] - a[1])[0]![0]
}

/** csv reads a table by RFC 4180; a quote that never closes is refused. */
export function csv(text: string): Table {
  const sep = separator(text)
  const all: string[][] = []
  let row: string[] = []
  let cell = ''
  let quoted = false
  const end = () => {
    row.push(cell)
    cell = ''
    if (row.some((c) => c.trim() !== '')) {
      if (all.length > mostRows) throw new NoTable('long')
      all.push(row)
    }
    row = []
  }
  for (let i = 0; i < text.length; i++) {
    const c = text[i]!
    if (quoted) {
      if (c !== '"') cell += c
      else if (text[i + 1] === '"') {
        cell += '"'
        i++
      } else quoted = false
    } else if (c === '"' && cell === '') quoted = true
    else if (c === sep) {
      row.push(cell)
      cell = ''
    } else if (c === '\n') end()
    else if (c !== '\r') cell += c
  }
  if (quoted) throw new NoTable('quote')
  if (cell !== '' || row.length) end()
  return headed(all)
}

/** ndjson reads one flat object a line; a column for each name that occurs. */
export function ndjson(text: string): Table {
  const columns: string[] = []
  const at = new Map<string, number>()
  const rows: string[][] = []
  for (const line of text.split('\n')) {
    if (!line.trim()) continue
    if (rows.length >= mostRows) throw new NoTable('long')
    let x: unknown
    try {
      x = JSON.parse(line)
    } catch {
      throw new NoTable('json')
    }
    if (typeof x !== 'object' || x === null || Array.isArray(x)) throw new NoTable('json')
    const row: string[] = []
    for (const [k, v] of Object.entries(x)) {
      if (!at.has(k)) {
        if (columns.length >= 500) throw new NoTable('wide')
        at.set(k, columns.length)
        columns.push(k)
      }
      row[at.get(k)!] = v === null || v === undefined ? '' : typeof v === 'string' ? v : JSON.stringify(v)
    }
    rows.push(row)
  }
  if (!rows.length) throw new NoTable('empty')
  return { columns, rows: rows.map((r) => columns.map((_, i) => r[i] ?? '')) }
}

function headed(all: string[][]): Table {
  if (all.length < 2) throw new NoTable('empty')
  const columns = all[0]!.map((c, i) => c.replace(/^\ufeff/, '').trim() || letters(i))
  if (columns.length > 500) throw new NoTable('wide')
  return { columns, rows: all.slice(1).map((r) => columns.map((_, i) => r[i] ?? '')) }
}

function letters(i: number): string {
  return (i >= 26 ? letters(Math.floor(i / 26) - 1) : '') + String.fromCharCode(65 + (i % 26))
}

// The parts of a ZIP archive that are asked for (APPNOTE 4.3): found by its directory, at most 256 MB unpacked.
async function unzip(data: Uint8Array, wanted: (name: string) => boolean): Promise<Map<string, string>> {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  let end = data.length - 22
  while (end >= 0 && end > data.length - 65_558 && view.getUint32(end, true) !== 0x06054b50) end--
  if (end < 0 || view.getUint32(end, true) !== 0x06054b50) throw new NoTable('xlsx')
  const out = new Map<string, string>()
  let p = view.getUint32(end + 16, true)
  let room = 256 << 20
  for (let n = view.getUint16(end + 10, true); n > 0; n--) {
    if (view.getUint32(p, true) !== 0x02014b50) throw new NoTable('xlsx')
    const method = view.getUint16(p + 10, true)
    const size = view.getUint32(p + 20, true)
    const nameLength = view.getUint16(p + 28, true)
    const name = new TextDecoder().decode(data.subarray(p + 46, p + 46 + nameLength))
    const local = view.getUint32(p + 42, true)
    p += 46 + nameLength + view.getUint16(p + 30, true) + view.getUint16(p + 32, true)
    if (!wanted(name)) continue
    const from = local + 30 + view.getUint16(local + 26, true) + view.getUint16(local + 28, true)
    const packed = data.slice(from, from + size)
    if (method === 0) out.set(name, new TextDecoder().decode(packed))
    else if (method === 8) {
      const source = new ReadableStream<BufferSource>({
        start(c) {
          c.enqueue(packed)
          c.close()
        },
      })
      const reader = source.pipeThrough(new DecompressionStream('deflate-raw')).getReader()
      const decoder = new TextDecoder()
      let s = ''
      for (;;) {
        const { value, done } = await reader.read()
        if (done) break
        if ((room -= value.length) < 0) throw new NoTable('long')
        s += decoder.decode(value, { stream: true })
      }
      out.set(name, s + decoder.decode())
    } else throw new NoTable('xlsx')
  }
  return out
}

/** unescape reads the entities of XML. */
export function unescape(s: string): string {
  return s.replace(/&(lt|gt|amp|quot|apos|#\d+|#x[0-9a-fA-F]+);/g, (_, e: string) =>
    e[0] === '#' ? String.fromCodePoint(Math.min(0x10ffff, e[1] === 'x' ? parseInt(e.slice(2), 16) : parseInt(e.slice(1), 10))) : ({ lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" } as Record<string, string>)[e]!)
}
function words(xml: string): string {
  // Readings beside the characters (phonetic runs) are no text.
  return [...xml.replace(/<rPh[\s\S]*?<\/rPh>/g, '').matchAll(/<t(?:\s[^>]*)?>([\s\S]*?)<\/t>/g)].map((m) => unescape(m[1]!)).join('')
}

/** sheet reads the cells of a worksheet's XML (ECMA-376 18.3). */
export function sheet(xml: string, shared: string[], dates: boolean[] = []): string[][] {
  const all: string[][] = []
  for (const r of xml.matchAll(/<row[\s>][\s\S]*?<\/row>/g)) {
    const row: string[] = []
    for (const c of r[0].matchAll(/<c(\s[^>]*?)?(?:\/>|>([\s\S]*?)<\/c>)/g)) {
      const attributes = c[1] ?? ''
      const place = /\sr="([A-Z]+)\d+"/.exec(attributes)?.[1]
      const i = place ? [...place].reduce((n, x) => n * 26 + x.charCodeAt(0) - 64, 0) - 1 : row.length
      if (i > 500) throw new NoTable('wide')
      const type = /\st="(\w+)"/.exec(attributes)?.[1]
      const v = unescape(/<v[^>]*>([\s\S]*?)<\/v>/.exec(c[2] ?? '')?.[1] ?? '')
      if (type === 's') row[i] = shared[Number(v)] ?? ''
      else if (type === 'inlineStr') row[i] = words(c[2] ?? '')
      else if (type === 'b') row[i] = v === '1' ? 'true' : 'false'
      else row[i] = v !== '' && dates[Number(/\ss="(\d+)"/.exec(attributes)?.[1] ?? -1)] ? day(Number(v)) : v
    }
    if (row.some((x) => x?.trim())) {
      if (all.length > mostRows) throw new NoTable('long')
      all.push(Array.from(row, (x) => x ?? ''))
    }
  }
  return all
}

/** day is a date as spreadsheets count it, from 30 December 1899. */
export function day(n: number): string {
  if (!Number.isFinite(n)) return String(n)
  const s = new Date(Math.round((n - 25569) * 86400) * 1000).toISOString()
  return n % 1 === 0 ? s.slice(0, 10) : s.slice(0, 10) + ' ' + s.slice(11, 19)
}

/** xlsx reads the first sheet of a workbook. */
export async function xlsx(data: Uint8Array): Promise<Table> {
  let parts: Map<string, string>
  try {
    parts = await unzip(data, (n) => /^xl\/(sharedStrings\.xml|styles\.xml|worksheets\/sheet\d+\.xml)$/.test(n))
  } catch (e) {
    throw e instanceof NoTable ? e : new NoTable('xlsx')
  }
  const shared = [...(parts.get('xl/sharedStrings.xml') ?? '').matchAll(/<si>([\s\S]*?)<\/si>/g)].map((m) => words(m[1]!))
  const styles = parts.get('xl/styles.xml') ?? ''
  const own = new Set([...styles.matchAll(/<numFmt\s[^>]*?numFmtId="(\d+)"[^>]*?formatCode="([^"]*)"/g)].filter((m) => /[ymd年月日]/i.test(m[2]!.replace(/\[[^\]]*\]|&quot;.*?&quot;/g, ''))).map((m) => Number(m[1])))
  const dates = [...(/<cellXfs[\s\S]*?<\/cellXfs>/.exec(styles)?.[0] ?? '').matchAll(/<xf\s[^>]*?numFmtId="(\d+)"/g)].map((m) => {
    const n = Number(m[1])
    return (n >= 14 && n <= 17) || n === 22 || (n >= 27 && n <= 31) || own.has(n)
  })
  const first = [...parts.keys()].filter((n) => n.includes('worksheets')).sort((a, b) => Number(/\d+/.exec(a)) - Number(/\d+/.exec(b)))[0]
  if (!first) throw new NoTable('xlsx')
  return headed(sheet(parts.get(first)!, shared, dates))
}

/** read reads a file by its name and its first bytes. */
export async function read(name: string, data: Uint8Array, encoding = 'auto'): Promise<Table> {
  if (data.length > largest) throw new NoTable('long')
  if (data[0] === 0x50 && data[1] === 0x4b) return xlsx(data)
  if (data[0] === 0xd0 && data[1] === 0xcf) throw new NoTable('xls')
  const d = decode(data, encoding)
  return { ...(/\.(ndjson|jsonl|json)$/i.test(name) ? ndjson(d.text) : csv(d.text)), encoding: d.encoding }
}

/** cell is one cell of a CSV that no spreadsheet takes for a formula. */
export function cell(s: string): string {
  const safe = /^[=+\-@\t\r]/.test(s) && !/^[+-]?\d+(\.\d+)?$/.test(s) ? "'" + s : s
  return /[",\r\n]/.test(safe) ? '"' + safe.replaceAll('"', '""') + '"' : safe
}
