// Measures how soon the first screens of a running country's console are there, in a real browser whose cache is empty each time.
//
//   node test/first.mjs --state COUNTRY.json [--node food-liquor] [--loads 11] [--base https://127.0.0.1:8443] [--md] [--waterfall]
//
// Each screen is loaded unthrottled, over a slow 4G (1.6 Mbit/s down, 0.75 up, 150 ms for a round trip), and over that on a processor four times slower. Printed are the median and the worst:
// first contentful paint, largest contentful paint, until the heading of the screen is seen, and what came over the wire.
// --base measures other servers of a console, with the accounts of --node: several, with commas between them, are loaded in turns, so that they can be compared. --md prints rows of a table, --waterfall the requests of one load.
// Exits with 1 when a median is beyond what is wanted: 1.5 s and 300 KB unthrottled, 2.5 s throttled.
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'

const { values: args } = parseArgs({
  options: {
    state: { type: 'string' }, node: { type: 'string', default: 'food-liquor' }, loads: { type: 'string', default: '11' }, base: { type: 'string' },
    browser: { type: 'string', default: '/usr/bin/chromium' }, md: { type: 'boolean' }, waterfall: { type: 'boolean' }, only: { type: 'string' },
  },
})
const country = JSON.parse(readFileSync(args.state, 'utf8'))
const at = country.nodes.find((n) => n.name === args.node)
const bases = (args.base ?? at.https).split(',').map((b) => b + '/console/')
const loads = args.waterfall ? 1 : Number(args.loads)

const desk = { viewport: { width: 1280, height: 860 } }
const phone = { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true, deviceScaleFactor: 2 }
const screens = [
  { name: 'entry, nobody', path: '#/', device: desk },
  { name: 'log-in', path: '#/login', device: desk },
  { name: 'enterprise, logged in', path: '#/', device: desk, user: 'admin' },
  { name: 'phone, start', path: '#/phone', device: phone, user: 'li' },
].filter((s) => !args.only || s.name.startsWith(args.only))
const slow = { offline: false, latency: 150, downloadThroughput: 1.6e6 / 8, uploadThroughput: 0.75e6 / 8 }
const nets = [
  { name: 'unthrottled', wanted: 1500 },
  { name: 'slow 4G', wanted: 2500, net: slow },
  { name: 'slow 4G, CPU ×4', wanted: 2500, cpu: 4, net: slow },
]

const browser = await chromium.launch({ executablePath: args.browser, args: ['--no-sandbox', '--disable-dev-shm-usage', '--lang=zh-CN'] })
const common = { ignoreHTTPSErrors: true, locale: 'zh-CN', serviceWorkers: 'block' }
const states = new Map()
for (const base of bases) for (const user of new Set(screens.map((s) => s.user).filter(Boolean))) {
  const context = await browser.newContext(common)
  const page = await context.newPage()
  await page.goto(base + '#/login')
  await page.locator('#user').fill(user)
  await page.locator('#password').fill(country.console_password)
  await page.locator('form button[type=submit]').click()
  await page.waitForFunction(() => !location.hash.startsWith('#/login'))
  states.set(base + user, await context.storageState())
  await context.close()
}

// watch runs in the page before anything else: it notes when the heading is first drawn, and the largest part.
function watch() {
  window.seen = {}
  new PerformanceObserver((l) => { for (const e of l.getEntries()) window.seen.lcp = e.startTime }).observe({ type: 'largest-contentful-paint', buffered: true })
  const look = () => {
    const h = document.querySelector('h1')
    if (h && h.getBoundingClientRect().height > 0 && h.textContent.trim()) requestAnimationFrame(() => { window.seen.h1 ??= performance.now(); window.seen.text = h.textContent })
    else requestAnimationFrame(look)
  }
  requestAnimationFrame(look)
}

async function load(base, s, n) {
  const context = await browser.newContext({ ...common, ...s.device, storageState: states.get(base + s.user) })
  const page = await context.newPage()
  await page.addInitScript(watch)
  const cdp = await context.newCDPSession(page)
  await cdp.send('Network.enable')
  await cdp.send('Network.setCacheDisabled', { cacheDisabled: false })
  if (n.net) await cdp.send('Network.emulateNetworkConditions', n.net)
  if (n.cpu) await cdp.send('Emulation.setCPUThrottlingRate', { rate: n.cpu })
  let bytes = 0
  const requests = new Map()
  cdp.on('Network.requestWillBeSent', (e) => requests.set(e.requestId, { url: e.request.url, began: e.timestamp, why: e.initiator.type }))
  cdp.on('Network.responseReceived', (e) => { const r = requests.get(e.requestId); if (r) { r.first = e.timestamp; r.protocol = e.response.protocol } })
  cdp.on('Network.loadingFinished', (e) => {
    bytes += e.encodedDataLength
    const r = requests.get(e.requestId)
    if (r) { r.ended = e.timestamp; r.bytes = e.encodedDataLength }
  })
  await page.goto(base + s.path, { waitUntil: 'load', timeout: 60_000 })
  await page.waitForFunction(() => window.seen.h1 !== undefined, undefined, { timeout: 60_000 })
  const untilHeading = bytes
  await page.waitForLoadState('networkidle', { timeout: 60_000 })
  const got = await page.evaluate(() => ({ ...window.seen, fcp: performance.getEntriesByName('first-contentful-paint')[0]?.startTime }))
  if (args.waterfall) {
    const all = [...requests.values()]
    const zero = Math.min(...all.map((r) => r.began))
    console.log(`\n${s.name}, ${n.name}: ${got.text}; fcp ${Math.round(got.fcp)}, heading ${Math.round(got.h1)}`)
    for (const r of all) console.log(`${ms(r.began - zero)} ${ms((r.first ?? r.ended) - zero)} ${ms(r.ended - zero)} ${String(r.bytes ?? '').padStart(7)} ${r.why.padEnd(8)} ${r.protocol ?? ''} ${r.url.replace(base, '')}`)
  }
  await context.close()
  return { fcp: got.fcp, lcp: got.lcp, h1: got.h1, bytes: untilHeading, all: bytes }
}
const ms = (s) => String(Math.round(s * 1000)).padStart(6)

const median = (l) => [...l].sort((a, b) => a - b)[Math.floor(l.length / 2)]
const show = (l, unit) => (unit === 'kb' ? `${Math.round(median(l) / 1000)} KB` : `${Math.round(median(l))} (${Math.round(Math.max(...l))})`)
let bad = 0
if (!args.waterfall) console.log(args.md ? '| screen | network | first paint, ms | largest paint, ms | heading seen, ms | until then | in all |\n|---|---|---|---|---|---|---|' : 'median (worst) of ' + loads)
// Networks and screens take turns, so that what else happens on the machine touches all alike.
const results = new Map()
for (let i = 0; i < loads; i++) {
  for (const s of screens) for (const n of nets) for (const base of bases) {
    const key = s.name + '|' + n.name + '|' + base
    results.set(key, [...(results.get(key) ?? []), await load(base, s, n)])
  }
}
for (const s of screens) for (const n of nets) for (const base of bases) {
  const r = results.get(s.name + '|' + n.name + '|' + base)
  const col = (k) => r.map((x) => x[k] ?? NaN)
  if (!args.waterfall) console.log(`| ${s.name} | ${n.name}${bases.length > 1 ? ' ' + base : ''} | ${show(col('fcp'))} | ${show(col('lcp'))} | ${show(col('h1'))} | ${show(col('bytes'), 'kb')} | ${show(col('all'), 'kb')} |`)
  if (median(col('h1')) > n.wanted || median(col('lcp')) > n.wanted || median(col('bytes')) > 300_000) {
    bad++
    console.log(`     beyond what is wanted: ${n.wanted} ms, 300 KB`)
  }
}
await browser.close()
process.exit(bad && !args.waterfall ? 1 : 0)
