// The cold chain of case C4: one contaminated package, asked about at the plant's own node; what the others keep is asked of them.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { film, symbol } from '../camera.mjs'
import { api as client } from '../tools.mjs'

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')

/** held says what of a screen as it stands breaks WCAG 2.2 AA, as far as a program can tell. */
export async function held(page, what) {
  await page.waitForTimeout(350)
  await page.evaluate(axe)
  const found = await page.evaluate(() => window.axe.run(document, { runOnly: { type: 'tag', values: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] }, resultTypes: ['violations'] }))
  if (found.violations.length) throw new Error(what + ':\n' + found.violations.map((v) => `${v.id}: ${v.help}\n  ` + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + ' ' + (n.any[0]?.message ?? n.all[0]?.message ?? '')).join('\n  ')).join('\n'))
}

// The recall that one journey opens and the next ones go on with.
let called = ''

const pack = '88.610.8005/PACK-1-03-04'

export default [
  {
    name: 'package', node: 'cold-processor', user: 'admin',
    async run({ page, go, shot, expect }) {
      await go('/trace')
      await expect.visible(page.locator('#trace-id'))
      await shot('begin')
      await page.locator('#trace-id').fill(pack)
      await page.locator('button.go').click()
      await expect.visible(page.locator('.answer .good'))
      await expect.visible(page.locator('.canvas canvas'))
      const list = page.locator('.graph nav')
      for (const x of ['CARTON-1-03', 'CONTAINER-1', 'TRUCK-1', 'CASE-1-03', 'PALLET-1-1']) await expect.visible(list.getByRole('button', { name: x }), x + ' in the list beside the graph')
      // By the keyboard alone: the thing's details are reached from the list.
      await list.getByRole('button', { name: 'CARTON-1-03' }).focus()
      await page.keyboard.press('Enter')
      expect.match(await page.locator('.panel').textContent(), /88\.610\.8001\/CARTON-1-03/, 'details of the carton')
      await shot('graph')
      const tabs = page.locator('.answer [role=tab]')
      await tabs.nth(1).click()
      await expect.visible(page.locator('.lanes .dot'))
      await shot('timeline')
      await tabs.nth(2).click()
      await page.waitForFunction(() => [...document.querySelectorAll('.map img')].some((x) => x.complete && x.naturalWidth > 100))
      await shot('map')
      const wide = () => page.locator('.map img').evaluate((x) => x.getBoundingClientRect().width)
      const once = await wide()
      const tall = await page.locator('.map .frame').evaluate((x) => x.clientHeight)
      await page.locator('.map .frame').focus()
      await page.keyboard.press('+')
      await page.locator('.map .buttons button').first().click()
      expect.ok(Math.abs((await wide()) / once - 2.25) < 0.01, 'the map is 2.25 times as wide')
      expect.equal(await page.locator('.map .frame').evaluate((x) => x.clientHeight), tall, 'the frame stays as it was')
      const at = async () => (await page.locator('.map img').boundingBox()).x
      const before = await at()
      await page.locator('.map .frame').focus()
      await page.keyboard.press('ArrowRight')
      expect.ok((await at()) < before, 'the arrow moves the map')
      await shot('map-near')
      await page.locator('.map .buttons button').nth(2).click()
      expect.ok(Math.abs((await wide()) - once) < 1, 'the whole map again')
      await tabs.nth(3).click()
      await shot('table')
      await tabs.nth(5).click()
      const owners = await page.locator('.hops tbody tr').count()
      expect.atLeast(owners, 6, 'enterprises that were asked')
      await shot('who-answered')
      await tabs.nth(7).click()
      expect.atLeast(await page.locator('#pane-chain .good').count(), 8, 'signatures that hold')
      await shot('signatures')
    },
  },
  {
    name: 'questions', node: 'cold-processor', user: 'admin',
    async run({ page, go, shot, expect }) {
      await go('/trace?ask=state&id=' + pack)
      await expect.visible(page.locator('.one .facts'))
      expect.match(await page.locator('.one').textContent(), /88\.610\.8008\/LOC-STATION/, 'where the package is')
      await shot('state')
      await go('/trace?ask=siblings&id=' + pack)
      await expect.visible(page.locator('.table tbody tr'))
      const siblings = await page.locator('.table').textContent()
      for (const n of ['01', '02', '03', '05']) expect.ok(siblings.includes('PACK-1-03-' + n), 'sibling ' + n)
      await shot('siblings')
      await go('/trace?ask=contacts&id=' + pack)
      await expect.visible(page.locator('.contacts tbody tr'))
      await page.locator('.chips .el-button', { hasText: 'PERSON' }).click()
      const people = await page.locator('.contacts').textContent()
      for (const p of ['LOADER-1', 'INSPECTOR-1', 'DRIVER-1', 'CUTTER-1', 'HOUSEHOLD-4']) expect.ok(people.includes('PERSON-' + p), 'contact ' + p)
      expect.ok(!people.includes('LOADER-2'), 'nobody who handled the other container only')
      await shot('contacts')
      await go('/trace?ask=path&id=' + pack + '&other=88.610.8004/TRUCK-1')
      await expect.visible(page.locator('.canvas canvas'))
      await shot('path')
    },
  },
  {
    name: 'papers', node: 'cold-processor', user: 'admin',
    async run({ page, go, shot, expect, at }) {
      await go('/trace?id=' + pack)
      await expect.visible(page.locator('.answer .good'))
      const wanted = [[0, /\.pdf$/, '%PDF-'], [1, /\.json$/, '{'], [2, /evidence\.json$/, '{'], [4, /graph\.svg$/, '<svg']]
      let evidence
      for (const [n, name, begins] of wanted) {
        await page.locator('.answer .el-dropdown .el-button').click()
        const [file] = await Promise.all([page.waitForEvent('download'), page.locator('.el-dropdown-menu__item:visible').nth(n).click()])
        expect.match(file.suggestedFilename(), name, 'name of the file')
        const text = readFileSync(await file.path())
        expect.ok(text.subarray(0, 5).toString().startsWith(begins), 'beginning of ' + file.suggestedFilename())
        if (n === 2) evidence = text.toString()
        await page.waitForTimeout(300)
      }
      await go('/trace/evidence')
      await expect.visible(page.locator('.drop'))
      await shot('evidence-empty')
      await page.locator('input[type=file]').setInputFiles({ name: 'evidence.json', mimeType: 'application/json', buffer: Buffer.from(evidence) })
      await expect.visible(page.locator('.facts'))
      const here = await page.evaluate(async () => (await (await fetch('/api/node')).json()).doors.includes('/api/trace/evidence'))
      if (here) {
        await expect.visible(page.locator('.verdict.good'))
        await shot('evidence')
        // One letter of what an owner signed is changed.
        const e = JSON.parse(evidence)
        const body = Buffer.from(e.answers[1].body, 'base64').toString().replace('TRUCK-1', 'TRUCK-9').replace('CARTON-1-03', 'CARTON-1-04')
        e.answers[1].body = Buffer.from(body).toString('base64')
        await page.locator('input[type=file]').setInputFiles({ name: 'changed.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(e)) })
        await expect.visible(page.locator('.verdict.bad'))
        await shot('evidence-changed')
      }
      await page.locator('input[type=file]').setInputFiles({ name: 'x.json', mimeType: 'application/json', buffer: Buffer.from('{}') })
      await expect.visible(page.locator('.fault'))
    },
  },
  {
    name: 'events', node: 'cold-processor', user: 'admin', errors: true,
    async run({ page, go, shot, expect }) {
      await go('/trace/events')
      await expect.visible(page.locator('.table tbody tr'))
      const first = await page.locator('.table tbody tr').first().textContent()
      await shot('list')
      await page.locator('.pager .next').click()
      await page.waitForFunction((was) => document.querySelector('.table tbody tr')?.textContent !== was, first)
      await page.locator('#ev-epc').fill(pack)
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => document.querySelectorAll('.table tbody tr').length > 0 && document.querySelectorAll('.table tbody tr').length < 10)
      await shot('found')
      await page.locator('.table tbody a').first().click()
      await expect.visible(page.locator('.say'))
      await shot('one')
      await go('/trace/events/capture')
      const thing = '88.610.8005/CHECK-' + Math.floor(Math.random() * 1e9)
      const event = (step, more) => ({ type: 'ObjectEvent', action: 'OBSERVE', eventTime: '2026-11-20T08:00:00+08:00', eventTimeZoneOffset: '+08:00', bizStep: step, epcList: [thing], ...more })
      const document = { '@context': ['https://ref.gs1.org/standards/epcis/epcis-context.jsonld'], type: 'EPCISDocument', schemaVersion: '2.0', creationDate: '2026-11-20T00:00:00Z', epcisBody: { eventList: [event('inspecting'), event('inspecting', { action: 'LOOK' }), event('storing')] } }
      await page.locator('#cap-text').fill(JSON.stringify(document, null, 1))
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.places tbody tr'))
      expect.match(await page.locator('.places').textContent(), /eventList\/1/, 'place of the fault')
      await shot('refused')
      await page.locator('.el-radio').nth(1).click()
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.outcome'))
      await shot('some-captured')
    },
  },
  {
    // The importer calls a carton back; the supermarket and the station answer; the authority sees it.
    name: 'recall', node: 'cold-importer', user: 'admin', langs: ['zh'], themes: ['light'],
    async run({ page, go, shot, expect, api }) {
      await go('/trace/recalls?things=88.610.8001/CARTON-1-05')
      await expect.visible(page.locator('#rc-name'))
      called = 'J' + Date.now()
      await page.locator('#rc-name').fill(called)
      await page.locator('#rc-title').fill('第 5 箱牛肉召回 <img src=x onerror="window.__xss=1">')
      await page.locator('#rc-reason').fill('抽检发现污染')
      await page.locator('#rc-do').fill('就地隔离，停止销售')
      await page.locator('.el-drawer form > .bar .el-button').nth(0).click()
      await expect.visible(page.locator('.el-drawer .card b'))
      await shot('open')
      await page.locator('.el-drawer button[type=submit]').click()
      await page.locator('.yes').click()
      await page.waitForFunction((n) => location.hash.includes('/trace/recalls/' + n.toUpperCase()), called)
      await expect.visible(page.locator('.holder'))
      await page.waitForFunction(() => [...document.querySelectorAll('.holder header')].length > 0 && ![...document.querySelectorAll('.holder header')].some((x) => x.textContent.includes('△')), undefined, { timeout: 60_000 })
      await shot('told')
      expect.atLeast((await api.must('GET', '/api/recalls/' + called)).holders.length, 2, 'holders')
    },
  },
  {
    name: 'notice', node: 'cold-supermarket', user: 'li', langs: ['zh'], themes: ['light'],
    async run({ page, go, shot, expect }) {
      await go('/trace/notices')
      await expect.visible(page.locator('tr', { hasText: called.toUpperCase() }))
      await shot('list')
      await page.locator('tr', { hasText: called.toUpperCase() }).locator('a').first().click()
      await expect.visible(page.locator('.answer'))
      await page.locator('.answer .bar .el-select').click()
      await page.locator('.el-select-dropdown__item:visible').first().click()
      await page.locator('#nt-note').fill('已贴封条，存放于冷库二区')
      await page.locator('.answer .el-checkbox').click()
      await shot('answer')
      await page.locator('.send').click()
      await expect.visible(page.locator('.reply'))
      expect.equal(await page.evaluate(() => window.__xss), undefined, 'what another enterprise wrote did not run')
      await shot('answered')
    },
  },
  {
    name: 'close', node: 'cold-importer', user: 'admin', langs: ['zh'], themes: ['light'],
    async run({ page, go, shot, expect, country, api }) {
      // The others answer by programs of their own.
      for (const h of (await api.must('GET', '/api/recalls/' + called)).holders.filter((x) => !x.done && x.prefix !== '88.610.8007')) {
        const there = client(country.nodes.find((n) => n.prefix === h.prefix), country)
        const notice = (await there.must('GET', '/api/recall-notices?limit=1000')).items.find((x) => x.recall.endsWith(called.toUpperCase()))
        await there.must('POST', `/api/recall-notices/${notice.name}/answers`, { items: notice.items.map((i) => ({ ...i, action: 'destroyed' })), done: true })
      }
      await go('/trace/recalls/' + called)
      await page.waitForFunction(() => document.querySelectorAll('.holder').length > 0 && [...document.querySelectorAll('.holder header')].every((x) => x.textContent.includes('✓')), undefined, { timeout: 60_000 })
      await page.locator('.holder summary').first().click()
      await shot('all-done')
      await page.locator('.close').click()
      await page.locator('#rc-why').fill('已全部处置')
      await page.locator('.yes').click()
      await page.waitForFunction(() => !document.querySelector('.close'))
      expect.equal((await api.must('GET', '/api/recalls/' + called)).state, 'closed', 'state')
      await shot('closed')
    },
  },
  {
    name: 'below', node: 'cold-chain', user: 'admin', errors: true,
    async run({ page, go, shot, expect }) {
      await go('/trace/recalls')
      await expect.visible(page.locator('.table tbody tr, .empty'))
      await shot('recalls')
    },
  },
  {
    name: 'shares', node: 'cold-supermarket', user: 'admin',
    async run({ page, go, shot, expect, api }) {
      await go('/trace/shares')
      await expect.visible(page.locator('.table tbody tr'))
      await shot('list')
      await page.locator('.add').click()
      const name = 'J' + Date.now()
      await page.locator('#sh-name').fill(name)
      await page.locator('#sh-to').fill('88.610.*')
      await page.locator('.el-drawer .level').nth(1).click()
      await page.locator('.el-drawer .level').nth(3).click()
      await shot('new')
      await page.locator('.el-drawer button[type=submit]').click()
      await expect.visible(page.locator('tr', { hasText: name.toUpperCase() }))
      const made = (await api.must('GET', '/api/shares/' + name))
      expect.equal(made.level, 'trace', 'level')
      expect.equal(made.onRecall, true, 'on recall only')
      await page.locator('tr', { hasText: name.toUpperCase() }).locator('.acts .el-button').nth(1).click()
      await expect.visible(page.locator('.undo'))
      expect.equal((await api.get('/api/shares/' + name)).status, 404, 'taken back')
    },
  },
  {
    // The supermarket takes its share back: where it would have answered, the trace says that it refused, and is not called complete.
    name: 'refused', node: 'cold-processor', user: 'admin', langs: ['zh'], themes: ['light'],
    async run({ page, go, shot, expect, country }) {
      const shop = client(country.nodes.find((n) => n.name === 'cold-supermarket'), country)
      const { name, id, ...body } = (await shop.must('GET', '/api/shares')).items.find((x) => x.name === 'CHAIN')
      await shop.must('DELETE', '/api/shares/' + name)
      try {
        await go('/trace?id=' + pack)
        await expect.visible(page.locator('.answer .bar .warn'))
        expect.match(await page.locator('.graph .troubled').textContent(), /88\.610\.8007/, 'who refused')
        await expect.visible(page.locator('.graph nav button', { hasText: 'PALLET-1-1 △' }), 'where it refused')
        await shot('graph')
        await page.locator('.answer [role=tab]').nth(5).click()
        expect.match(await page.locator('.hops tbody tr').first().textContent(), /88\.610\.8007⊘/, 'who refused stands first')
        await shot('who')
      } finally {
        await shop.must('PUT', '/api/shares/' + name, body)
      }
    },
  },
  {
    // A package in the hand: its code is held before the camera, and the trace begins.
    name: 'camera', node: 'cold-processor', user: 'admin', langs: ['zh'], themes: ['light'],
    async camera({ api }) {
      return film(path.join(tmpdir(), `fujie-camera-trace-${process.pid}.y4m`), [{ frames: 10 }, { picture: await symbol(api, 'qr', pack), turn: 6, frames: 60 }], { width: 480, height: 360 })
    },
    async run({ page, go, shot, expect }) {
      await go('/trace')
      await page.locator('.ask .scan').click()
      await expect.visible(page.locator('.el-dialog video'))
      await expect.visible(page.locator('.answer .good'))
      expect.equal(await page.locator('#trace-id').inputValue(), pack, 'what the camera read')
      await shot('read')
    },
  },
  {
    // What no running country shows at will: a node that is silent, one that lies, goods in two places, a search that is stopped.
    name: 'marks', node: 'cold-processor', user: 'admin', errors: true,
    async run({ page, go, shot, expect }) {
      const at = '2026-11-01T08:00:00Z'
      const hop = (owner, outcome, more) => ({ owner, outcome, round: 1, took: 4e6, ...more })
      const packs = Array.from({ length: 30 }, (_, i) => ({ id: '88.1.2/PACK-' + (i + 1), key: '88.1.2/PACK-' + (i + 1), depth: 1, owner: '88.1.2' }))
      const things = [
        { id: '88.1.1/LOT-7', key: '88.1.1/LOT-7', depth: 0, class: true, quantity: '120.5', unit: 'KGM', owner: '88.1.1' }, ...packs,
        { id: '88.1.3/PALLET-1', key: '88.1.3/PALLET-1', depth: 2, stop: 'unreachable' }, { id: '88.1.4/PALLET-2', key: '88.1.4/PALLET-2', depth: 2, stop: 'bogus' }, { id: '88.1.5/TRUCK-1', key: '88.1.5/TRUCK-1', depth: 3, stop: 'refused' },
      ]
      const link = (from, to, kind) => ({ from, to, kind, event: 'e1', since: at })
      const links = [...packs.map((p) => link('88.1.1/LOT-7', p.key, 'transformed')), link(packs[0].key, '88.1.3/PALLET-1', 'packed'), link(packs[1].key, '88.1.4/PALLET-2', 'packed'), link('88.1.4/PALLET-2', '88.1.5/TRUCK-1', 'packed')]
      const events = [{ id: 'e1', type: 'TransformationEvent', time: at, step: 'commissioning', things: things.slice(0, 4).map((t) => t.key), owner: '88.1.1' }, { id: 'e2', type: 'ObjectEvent', time: at, step: 'shipping', things: [packs[0].key], declared: true, owner: '88.1.2' }]
      const hops = [hop('88.1.2', 'answered', { things: 30, events: 2 }), hop('88.1.3', 'unreachable', { en: 'it does not answer', zh: '对方无应答' }), hop('88.1.4', 'bogus', { en: 'its signature does not hold', zh: '签名不成立' }), hop('88.1.5', 'refused', { en: 'it shares nothing', zh: '未共享' })]
      const findings = [{ kind: 'two-places', thing: packs[0].key, events: ['e1', 'e2'], time: at, en: '<b onmouseover="window.__xss=1">in two places</b>', zh: '<b onmouseover="window.__xss=1">同时在两地</b>' }]
      const lines = [{ step: { things: things.slice(0, 1), depth: 0, asked: 1, total: 1 } }, { step: { things: packs, links, depth: 1, asked: 4, total: 31 } }, { answer: { things, links, events, hops, findings, complete: false }, chain: [{ owner: '88.1.2', holds: true, time: at, key: 'SHA256:x', digest: 'ab' }] }]
      await page.route(/api\/trace\/stream/, (r) => r.fulfill({ contentType: 'application/jsonl', body: lines.map((l) => JSON.stringify(l)).join('\n') + '\n' }))
      await go('/trace?id=88.1.1/LOT-7')
      await expect.visible(page.locator('.graph .troubled'))
      const list = page.locator('.graph nav')
      await expect.visible(list.getByRole('button', { name: 'PACK-… × 28' }))
      await expect.visible(page.locator('.canvas canvas'))
      await shot('graph')
      await list.getByRole('button', { name: 'PACK-… × 28' }).click()
      await page.locator('.panel .el-button').first().click()
      expect.equal(await list.locator('button').count(), 1 + 30 + 3, 'things one by one')
      const tabs = page.locator('.answer [role=tab]')
      await tabs.nth(5).click()
      expect.match(await page.locator('.hops tbody tr').first().textContent(), /88\.1\.4‼/, 'who lied stands first')
      await shot('who')
      await tabs.nth(6).click()
      await expect.visible(page.locator('.findings'))
      expect.equal(await page.locator('.findings b').count(), 0, 'what an enterprise wrote is text')
      await shot('anomalies')
      // A trace that takes long is stopped.
      await page.unroute(/api\/trace\/stream/)
      await page.route(/api\/trace\/stream/, () => undefined)
      await go('/trace?id=88.1.1/LOT-8')
      await page.locator('.answer .el-button--danger').click()
      await expect.visible(page.locator('.answer .bar .warn'))
      await shot('stopped')
      // One that breaks off says why.
      await page.unroute(/api\/trace\/stream/)
      await page.route(/api\/trace\/stream/, (r) => r.fulfill({ contentType: 'application/jsonl', body: JSON.stringify(lines[0]) + '\n' + JSON.stringify({ problem: '无应答 nobody answers' }) + '\n' }))
      await go('/trace?id=88.1.1/LOT-9')
      await expect.visible(page.locator('.fault', { hasText: 'nobody answers' }))
    },
  },
  {
    name: 'subscriptions', node: 'cold-processor', user: 'admin',
    async run({ page, go, shot, expect, api }) {
      const name = 'watch-' + Date.now()
      await go('/trace/events?epc=88.610.8005/NOTHING-LIKE-IT&order=asc')
      await expect.visible(page.locator('.empty'))
      await go('/trace/events?epc=' + pack)
      await expect.visible(page.locator('.table tbody tr'))
      await page.locator('.pager .el-button').first().click()
      await page.locator('#ev-name').fill(name)
      await page.keyboard.press('Enter')
      await page.waitForFunction((n) => document.body.textContent.includes(n), name)
      expect.equal((await api.must('GET', '/epcis/queries/' + name))[0].name, name, 'the query is kept')
      await go('/trace/events/subscriptions')
      const card = page.locator('.query', { hasText: name })
      await card.locator('.el-button--primary').click()
      await page.locator('#sub-dest').fill('https://example.com/hook')
      await page.locator('#sub-secret').fill('a secret of both')
      await page.locator('.el-dialog:visible button[type=submit]').click()
      await expect.visible(card.locator('tbody tr'))
      await shot('subscribed')
      await card.locator('tbody .el-button').click()
      await page.locator('.el-dialog:visible .el-button--danger').click()
      await page.waitForFunction((n) => ![...document.querySelectorAll('.query')].find((q) => q.textContent.includes(n))?.querySelector('tbody tr'), name)
      await card.locator('.bar .el-button').last().click()
      await expect.visible(page.locator('.undo'))
      expect.equal((await api.get('/epcis/queries/' + name)).status, 404, 'the query is gone')
    },
  },
  {
    name: 'access', node: 'cold-processor', user: 'admin',
    async run({ page, go, shot, expect }) {
      const faults = []
      const look = (what) => held(page, what).catch((e) => faults.push(e.message))
      await go('/trace?id=' + pack)
      await expect.visible(page.locator('.answer .good'))
      await expect.visible(page.locator('.canvas canvas'))
      await page.locator('.graph nav button').first().click()
      await look('graph')
      const tabs = page.locator('.answer [role=tab]')
      for (let i = 1; i < 8; i++) {
        await tabs.nth(i).click()
        await look('tab ' + i)
      }
      for (const ask of ['state', 'siblings', 'contacts']) {
        await go(`/trace?ask=${ask}&id=${pack}`)
        await expect.visible(page.locator('.table tbody tr, .one .facts'))
        await look(ask)
      }
      await go('/trace?ask=path&id=' + pack + '&other=88.610.8004/TRUCK-1')
      await expect.visible(page.locator('.canvas canvas'))
      await look('path')
      await go('/trace/events?epc=' + pack)
      await expect.visible(page.locator('.table tbody tr'))
      await look('events')
      await page.locator('.table tbody a').first().click()
      await expect.visible(page.locator('.say'))
      await look('event')
      for (const p of ['/trace/events/capture', '/trace/events/subscriptions', '/trace/recalls?things=x', '/trace/notices', '/trace/shares', '/trace/evidence']) {
        await go(p)
        await page.waitForLoadState('networkidle', { timeout: 5000 }).catch(() => undefined)
        await look(p)
      }
      expect.equal(faults.join('\n'), '', 'faults')
    },
  },
  {
    // On a telephone nothing is cut off.
    name: 'phone', node: 'cold-processor', user: 'admin', viewport: { width: 390, height: 844 }, touch: true,
    async run({ page, go, shot, expect }) {
      for (const [name, p, there] of [['trace', '/trace?id=' + pack, '.graph nav button'], ['contacts', '/trace?ask=contacts&id=' + pack, '.contacts tbody tr'], ['events', '/trace/events', '.table tbody tr']]) {
        await go(p)
        await expect.visible(page.locator(there))
        expect.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth + 1), p + ' fits the screen')
        await shot(name)
      }
    },
  },
]
