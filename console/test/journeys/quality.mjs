// Every screen of every role's menu is held to the Web Content Accessibility Guidelines 2.2, level AA, as far as a program can
// judge them (axe-core), in light and dark; to having a title, one first heading and no word left untranslated; and to not being wider than the screen.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

async function judge(page, path, faults) {
  await page.evaluate(axe)
  const found = await page.evaluate(() => window.axe.run(document, {
    runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }, resultTypes: ['violations'],
  }))
  for (const v of found.violations) faults.push(`${path}: ${v.id} (${v.impact}) ${v.help}\n        ` + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 160) + ' ' + (n.any[0]?.message ?? n.all[0]?.message ?? '')).join('\n        '))
  const own = await page.evaluate(() => {
    const out = []
    const h1 = [...document.querySelectorAll('h1')].filter((h) => h.offsetParent !== null)
    if (h1.length !== 1) out.push(`${h1.length} first headings`)
    if (!document.title || /\w\.\w+\.\w/.test(document.title)) out.push(`title: ${JSON.stringify(document.title)}`)
    if (document.documentElement.scrollWidth > innerWidth + 1) out.push(`${document.documentElement.scrollWidth} wide on a screen of ${innerWidth}`)
    const words = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
    while (words.nextNode()) {
      const text = words.currentNode.textContent.trim()
      // A word without a translation is shown as its key.
      if (/^(shell|records|templates|access|phone|work|labels|trace|figures|office|operate|situation|market)(\.\w+)+$/.test(text)) out.push('no words for ' + text)
    }
    return out
  })
  for (const o of own) faults.push(`${path}: ${o}`)
}

async function screens({ page, go, shot, expect, base }, extra = []) {
  const faults = []
  await go('/')
  await page.waitForSelector('nav.side a')
  const paths = [...new Set([...(await page.$$eval('nav.side a', (links) => links.map((a) => a.getAttribute('href').replace(/^.*#/, '')))), ...extra])]
  for (const path of paths) {
    await go(path)
    await page.waitForLoadState('networkidle', { timeout: 6000 }).catch(() => undefined)
    await page.waitForFunction(() => !document.querySelector('.el-skeleton, .el-loading-mask:not([style*="display: none"])'), undefined, { timeout: 6000 }).catch(() => undefined)
    // What is still on its way in is paler than it will be.
    await page.waitForTimeout(350)
    await page.waitForFunction(() => !document.querySelector('[class*="-enter-"]') && document.getAnimations().every((a) => a.playState !== 'running' || a.effect?.getComputedTiming().endTime === Infinity), undefined, { timeout: 6000 }).catch(() => undefined)
    await judge(page, path, faults)
    await shot((path.replace(/\W+/g, '-').replace(/^-/, '') || 'home').slice(0, 40))
  }
  await page.goto(base + '#/')
  expect.equal(faults.length ? '\n' + faults.join('\n') : '', '', 'faults of screens')
}

// Both languages and both themes are seen, each screen in two of the four pairs; --all walks all.
const pairs = [['zh', 'dark'], ['en', 'light']]
export default [
  { name: 'enterprise', node: 'food-liquor', user: 'admin', still: true, pairs, run: (x) => screens(x, ['/account', '/records/new', '/records/import', '/records/codes', '/templates/new', '/access/requests/new', '/market/warranty-claims']) },
  { name: 'worker', node: 'food-liquor', user: 'li', still: true, pairs: [['zh', 'light']], run: (x) => screens(x) },
  { name: 'second-level', node: 'food', user: 'admin', still: true, pairs: [['zh', 'light']], run: (x) => screens(x) },
  { name: 'national', node: 'national-beijing', user: 'admin', still: true, pairs, run: (x) => screens(x) },
  { name: 'anybody', node: 'food-liquor', still: true, pairs, run: (x) => screens(x, ['/login']) },
]
