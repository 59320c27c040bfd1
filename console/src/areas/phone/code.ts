// What a symbol holds, as the identifier that flows and resolution take. Labels carry it in many dresses: bare, behind hdl:,
// as a web address of any host, or as element strings of GS1 with separators that no person can type.

/** What was read, and how, when the reader says so. */
export interface Read {
  text: string
  /** As the reader names it: QRCode, DataMatrix, Code128, EAN13 … */
  format?: string
  /** The symbology identifier, as ]d2. */
  symbology?: string
}

const GS = '\x1d'

// GS1 General Specifications 7.8.5: fields that begin so have a length of their own, and no separator behind them.
const fixed: Record<string, number> = { '00': 18, '01': 14, '02': 14, '03': 14, '04': 16, '11': 6, '12': 6, '13': 6, '14': 6, '15': 6, '16': 6, '17': 6, '18': 6, '19': 6, '20': 2, '31': 6, '32': 6, '33': 6, '34': 6, '35': 6, '36': 6, '41': 13 }

/** How many digits the application identifier has that begins with these two; 0: there is none such. */
function digits(two: string): number {
  const n = Number(two)
  if (!/^\d\d$/.test(two)) return 0
  if (n <= 4 || (n >= 10 && n <= 22 && n !== 14 && n !== 18 && n !== 19) || n === 30 || n === 37 || n >= 90) return 2
  if ((n >= 23 && n <= 25) || (n >= 40 && n <= 42) || n === 71) return 3
  if ((n >= 31 && n <= 36) || n === 39 || n === 43 || n === 70 || n === 72 || (n >= 80 && n <= 82)) return 4
  return 0
}

/** checked says whether the last digit of a GTIN, SSCC or GLN is its check digit. */
export function checked(n: string): boolean {
  if (!/^\d{8,18}$/.test(n)) return false
  let sum = 0
  for (let i = n.length - 2, w = 3; i >= 0; i--, w = 4 - w) sum += Number(n[i]) * w
  return (10 - (sum % 10)) % 10 === Number(n[n.length - 1])
}

/** elements writes element strings with brackets: (01)09521234543213(21)A1; undefined when they are none. */
export function elements(raw: string): string | undefined {
  let s = raw.replace(/^\]([A-Za-z])\d/, '')
  while (s.startsWith(GS)) s = s.slice(1)
  let out = ''
  while (s) {
    const two = s.slice(0, 2)
    const n = digits(two)
    if (!n || !/^\d+$/.test(s.slice(0, n)) || s.length <= n) return undefined
    const ai = s.slice(0, n)
    s = s.slice(n)
    let value: string
    const length = fixed[two]
    if (length !== undefined) {
      value = s.slice(0, length)
      // A variable measure keeps its decimal place in the fourth digit of its identifier.
      if (value.length < length || !/^\d+$/.test(value)) return undefined
      s = s.slice(length)
      if (s.startsWith(GS)) s = s.slice(1)
    } else {
      const end = s.indexOf(GS)
      value = end < 0 ? s : s.slice(0, end)
      s = end < 0 ? '' : s.slice(end + 1)
      if (!value || value.length > 90) return undefined
    }
    out += `(${ai})${value.replaceAll('(', '\\(')}`
  }
  return out || undefined
}

const ours = /^\d+(\.\d+)+\/.+/

/** meaning is the identifier that was read; the text itself where it is none that we know, since flows may have rules for private codes. */
export function meaning(r: Read): string {
  const text = r.text.replace(/[\r\n\t]+$/, '').trim()
  const symbology = r.symbology ?? /^\][A-Za-z]\d/.exec(text)?.[0]
  const body = text.replace(/^\][A-Za-z]\d/, '')
  if (symbology && /^\](C1|e0|d2|Q3|J1)$/.test(symbology)) return elements(body) ?? body
  if (r.format === 'EAN13' || r.format === 'UPCA' || r.format === 'EAN8' || r.format === 'UPCE' || r.format === 'ITF14' || symbology === ']E0' || symbology === ']E4') {
    if (checked(body)) return '(01)' + body.padStart(14, '0')
  }
  if (body.includes(GS)) return elements(body) ?? body.replaceAll(GS, '')
  const link = /^https?:\/\/[^/]+\/(.+)$/i.exec(body)
  if (link) {
    const path = link[1]!.replace(/[?#].*$/, '')
    let plain = path
    try {
      plain = decodeURIComponent(path)
    } catch {
      // Not escaped: as it stands.
    }
    if (ours.test(plain)) return plain
    return body
  }
  // Scanners that say nothing of the symbology: believed to be of GS1 only when the check digit is right and all of it can be read.
  if (/^01\d{14}./.test(body) && checked(body.slice(2, 16))) return elements(body) ?? body
  if (/^00\d{18}/.test(body) && checked(body.slice(2, 20))) return elements(body) ?? body
  return body
}
