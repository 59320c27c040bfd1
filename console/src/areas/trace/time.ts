/** Round instants between two, in the local time, with the texts that tell them apart. */
export function ticks(a: number, b: number, about: number, language: 'zh' | 'en'): { at: number; text: string }[] {
  const minute = 60e3
  const sizes = [1, 5, 15, 30, 60, 180, 360, 720, 1440, 2 * 1440, 7 * 1440, 14 * 1440, 30 * 1440, 90 * 1440, 365 * 1440].map((m) => m * minute)
  const size = sizes.find((s) => (b - a) / s <= about) ?? sizes[sizes.length - 1]!
  const zone = new Date(a).getTimezoneOffset() * minute
  const f = new Intl.DateTimeFormat(language === 'zh' ? 'zh-CN' : 'en-GB', size >= 1440 * minute ? { month: 'short', day: 'numeric', ...(b - a > 300 * 1440 * minute && { year: 'numeric' }) } : { month: 'numeric', day: 'numeric', hour: '2-digit', minute: '2-digit', hourCycle: 'h23' })
  const out = []
  for (let x = Math.ceil((a - zone) / size) * size + zone; x <= b; x += size) out.push({ at: x, text: f.format(x) })
  return out
}
