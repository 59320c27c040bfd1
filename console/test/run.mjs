// Walks the console of a running country in a real browser, as the people of each role do.
//
//   node test/run.mjs --state COUNTRY.json [--only area[/journey]] [--shots DIR] [--lang zh,en] [--theme light,dark] [--dist DIR] [--all] [--turns]
//
// --dist shows the console of a folder in the place of the node's own, to look at a build before it is in the program.
//
// Prints "N passed, N failed" at the end and exits with 1 when something failed.
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import { api, expect } from './tools.mjs'

const here = path.dirname(fileURLToPath(import.meta.url))
const { values: args } = parseArgs({
  options: {
    state: { type: 'string' }, only: { type: 'string' }, shots: { type: 'string', default: 'shots' },
    lang: { type: 'string', default: 'zh' }, theme: { type: 'string', default: 'light' }, browser: { type: 'string', default: '/usr/bin/chromium' }, dist: { type: 'string' }, all: { type: 'boolean' }, turns: { type: 'boolean' },
  },
})
const country = JSON.parse(readFileSync(args.state, 'utf8'))
const folder = path.join(here, 'journeys')
const [onlyArea, onlyName] = (args.only ?? '').split('/')
mkdirSync(args.shots, { recursive: true })

let passed = 0
let failed = 0
let turn = 0
const shared = new Map()
for (const file of readdirSync(folder).filter((f) => f.endsWith('.mjs')).sort()) {
  const area = file.replace(/\.mjs$/, '')
  if (onlyArea && area !== onlyArea) continue
  const journeys = (await import(pathToFileURL(path.join(folder, file)))).default
  for (const j of journeys) {
    if (onlyName && j.name !== onlyName) continue
    // A journey may name the pairs that it is worth walking in; all of them are walked when --all is given.
    if (j.pairs && !args.all) for (const [lang, theme] of j.pairs) await walk(area, j, lang, theme)
    // In turns, each journey is walked in one language, the next in the other.
    else if (args.turns && !j.langs) await walk(area, j, args.lang.split(',')[turn++ % args.lang.split(',').length], args.theme.split(',')[0])
    else for (const lang of j.langs ?? args.lang.split(',')) for (const theme of j.themes ?? args.theme.split(',')) await walk(area, j, lang, theme)
  }
}
console.log(`${passed} passed, ${failed} failed`)
for (const b of shared.values()) await b.close()
process.exit(failed ? 1 : 0)

async function walk(area, j, lang, theme) {
  const at = country.nodes.find((n) => n.name === j.node)
  const label = `${area}/${j.name} (${j.user ?? 'nobody'} at ${j.node}, ${lang}, ${theme})`
  if (!at) {
    failed++
    console.log(`FAIL ${label}: no such node in this country`)
    return
  }
  const camera = j.camera ? await j.camera({ country, at, api: api(at, country) }) : undefined
  const browser = await launch(lang, [
    ...(camera ? ['--use-fake-ui-for-media-stream', '--use-fake-device-for-media-stream', '--use-file-for-fake-video-capture=' + camera] : []),
    // A page may be shown in spite of its certificate, a service worker only when the browser asks for none, as a device of the company has the node's certificate installed.
    ...(j.offline ? ['--ignore-certificate-errors'] : []),
  ])
  const contexts = []
  const fresh = async () => {
    const context = await browser.newContext({
      ignoreHTTPSErrors: !j.offline, locale: lang === 'zh' ? 'zh-CN' : 'en-GB', colorScheme: theme, reducedMotion: j.still ? 'reduce' : 'no-preference', viewport: j.viewport ?? { width: 1280, height: 860 },
      acceptDownloads: true, hasTouch: Boolean(j.touch), permissions: camera ? ['camera'] : ['clipboard-read', 'clipboard-write'],
      serviceWorkers: j.offline ? 'allow' : 'block',
    })
    if (args.dist) {
      await context.route((u) => u.pathname.startsWith('/console/'), async (route) => {
        const name = new URL(route.request().url()).pathname.slice('/console/'.length) || 'index.html'
        try {
          await route.fulfill({ path: path.join(args.dist, name) })
        } catch {
          await route.fulfill({ status: 404 })
        }
      })
    }
    contexts.push(context)
    return context
  }
  const context = await fresh()
  const page = await context.newPage()
  page.setDefaultTimeout(15_000)
  const errors = []
  page.on('pageerror', (e) => errors.push(String(e)))
  page.on('console', (m) => {
    if (m.type() === 'error' && !/the server responded with a status of|net::ERR_/i.test(m.text())) errors.push(m.text())
  })
  const base = at.https + '/console/'
  let n = 0
  const shot = async (name) => {
    await page.waitForTimeout(150)
    await page.screenshot({ path: path.join(args.shots, `${area}-${j.name}-${String(++n).padStart(2, '0')}-${name}-${lang}-${theme}.png`) })
  }
  const started = Date.now()
  try {
    if (j.user) await login(page, base, j.user)
    // Somebody else, with a browser of their own; logged in when they have a name here.
    const somebody = async (user, where = base) => {
      const p = await (await fresh()).newPage()
      p.setDefaultTimeout(15_000)
      if (user) await login(p, where, user)
      return p
    }
    await j.run({ page, context, browser, base, somebody, at, country, lang, theme, shot, expect, camera, api: api(at, country), go: (p) => page.goto(base + '#' + p), errors })
    if (errors.length && !j.errors) throw new Error('the page reported: ' + errors.join('\n'))
    passed++
    console.log(`ok   ${label} ${Date.now() - started} ms`)
  } catch (e) {
    failed++
    console.log(`FAIL ${label}: ${e.stack ?? e}`)
    if (errors.length) console.log('     the page reported: ' + errors.join('\n     '))
    await page.screenshot({ path: path.join(args.shots, `FAIL-${area}-${j.name}-${lang}-${theme}.png`) }).catch(() => undefined)
  } finally {
    for (const c of contexts) await c.close()
    if (browser !== shared.get(lang)) await browser.close()
  }
}

// One browser serves all journeys of a language that want nothing special of it; each has a context of its own, with no cookie of another.
async function launch(lang, special) {
  if (!special.length && shared.get(lang)?.isConnected()) return shared.get(lang)
  const browser = await chromium.launch({
    executablePath: args.browser, args: ['--no-sandbox', '--disable-dev-shm-usage', '--lang=' + (lang === 'zh' ? 'zh-CN' : 'en-GB'), ...special],
  })
  if (!special.length) shared.set(lang, browser)
  return browser
}

// As a person does: by the form.
async function login(page, base, user) {
  await page.goto(base + '#/login')
  await page.locator('#user').fill(user)
  await page.locator('#password').fill(country.console_password)
  await page.locator('form button[type=submit]').click()
  await page.waitForFunction(() => !location.hash.startsWith('#/login'))
}
