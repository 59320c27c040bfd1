import { tmpdir } from 'node:os'
import path from 'node:path'
import { film, symbol } from '../camera.mjs'
import { api as client } from '../tools.mjs'

const small = { width: 390, height: 844 }
const letters = '0123456789ABCDEFGHJKLMNPQRSTUVWXYZ'
const some = (n) => Array.from({ length: n }, () => letters[Math.floor(Math.random() * letters.length)]).join('')
const box = (at) => `${at.prefix}/X${some(11)}`
const bottle = (at) => `${at.prefix}/B${some(13)}`

/** As a scanner types: fast, with Enter at the end. */
async function wedge(page, code) {
  await page.keyboard.type(code, { delay: 2 })
  await page.keyboard.press('Enter')
}
const verdict = (page, kind) => page.locator(`.verdict.${kind}`)
async function scanner(page) {
  await page.locator('.modes label').nth(1).click()
}

/** A client of another node of the country. */
const beside = (country, name) => {
  const at = country.nodes.find((n) => n.name === name)
  return { at, api: client(at, country) }
}
/** A scan by the interface, that must come to something. */
async function scanned(api, verdict, body) {
  const r = await api.must('POST', '/api/flow-scans', body)
  if (r.verdict !== verdict) throw new Error(`${body.flow ?? body.run} of ${body.code}: ${r.verdict} ${r.say}`)
  return r
}
/** Codes that come before the camera one after the other, then nothing for a while: the film begins anew behind that. */
async function table(api, name, codes, kind = 'qr', rest = 60) {
  const shots = [{ frames: 6 }]
  for (const [i, c] of codes.entries()) shots.push({ picture: await symbol(api, kind, c), turn: 6 - 4 * i, frames: 12 }, { frames: 8 })
  return film(path.join(tmpdir(), `fujie-camera-${name}-${process.pid}.y4m`), [...shots, { frames: rest }], { width: 480, height: 360 })
}
/** The phone goes on by itself after each code. */
const continuous = (context) => context.addInitScript(() => localStorage.setItem('fujie.phone', JSON.stringify({ ...JSON.parse(localStorage.getItem('fujie.phone') ?? '{}'), continuous: true, mode: 'camera' })))
const fill = async (page, list) => {
  for (const [label, value] of list) await page.locator('.fields .field', { has: page.locator('label', { hasText: label }) }).locator('input').fill(value)
  await page.locator('.fields button[type=submit]').click()
}
const saw = (page, code) => page.waitForFunction((c) => document.querySelector('.verdict .code')?.textContent.includes(c), code.split('/')[1])

/** Fingers in gloves: nothing that is pressed is smaller than 56 px. */
async function large(page, expect, where) {
  const tiny = await page.evaluate(() => [...document.querySelectorAll('.phone a[href], .phone button, .phone summary, .phone input:not([type=checkbox],[type=radio]), .phone select, .phone label.check, .phone label.option, .phone .modes label')]
    .filter((e) => e.offsetParent && e.getBoundingClientRect().height < 55.5).map((e) => e.outerHTML.slice(0, 120)))
  expect.equal(tiny.join('\n'), '', 'targets below 56 px at ' + where)
}

/** Each kind of symbol that our labels draw, as a camera sees it on a table, somewhat turned. */
const kinds = [
  ['qr', (at) => `https://id.example.cn/${at.prefix}/PUMP-1`, 12, [30, 30], (at) => `${at.prefix}/PUMP-1`],
  ['datamatrix', (at) => `${at.prefix}/DM-7`, 20, [24, 24], (at) => `${at.prefix}/DM-7`],
  ['gs1-datamatrix', () => '(01)09521234543213(10)LOT7(21)A1', 0, [24, 24], () => '(01)09521234543213(10)LOT7(21)A1'],
  ['code128', (at) => `${at.prefix}/C128`, 3, [70, 20], (at) => `${at.prefix}/C128`],
  ['gs1-128', () => '(00)095212345432132103', 0, [70, 20], () => '(00)095212345432132103'],
  ['pdf417', (at) => `${at.prefix}/PDF-417`, 0, [60, 30], (at) => `${at.prefix}/PDF-417`],
]

export default [
  {
    name: 'start', node: 'food-liquor', user: 'li', viewport: small, touch: true,
    async run({ page, go, shot, expect }) {
      await go('/phone')
      await expect.visible(page.locator('.tile'))
      await shot('start')
      await page.locator('nav a[href="#/phone/tasks"]').click()
      await page.waitForTimeout(300)
      await shot('tasks')
      await page.locator('nav a[href="#/phone/queue"]').click()
      await page.waitForTimeout(300)
      await shot('queue')
      await page.locator('nav a[href="#/phone/settings"]').click()
      await shot('settings')
      for (const route of ['/phone', '/phone/scan', '/phone/queue', '/phone/settings']) {
        await go(route)
        await page.waitForFunction((r) => location.hash === '#' + r, route)
        await page.waitForTimeout(150)
        // What a screen has nothing to say in takes no room, so the first child may well be unseen.
        await expect.visible(page.locator('.phone main > *:visible'))
        await large(page, expect, route)
      }
    },
  },
  {
    name: 'nobody', node: 'food-liquor', viewport: small, touch: true,
    async run({ page, go, shot, expect }) {
      await go('/phone')
      await expect.visible(page.locator('a[href*="/login"]'))
      await expect.visible(page.locator('a[href="#/phone/look"]'))
      await shot('start')
      await go('/phone/scan')
      await page.waitForFunction(() => location.hash.startsWith('#/login'))
    },
  },
  {
    // A box is packed: the box by camera, its bottles by scanner.
    name: 'pack', node: 'food-liquor', user: 'li', viewport: small, touch: true,
    async camera({ at, api }) {
      this.box = box(at)
      return film(path.join(tmpdir(), `fujie-camera-pack-${process.pid}.y4m`), [{ frames: 5 }, { picture: await symbol(api, 'qr', this.box), turn: 8, frames: 30 }])
    },
    async run({ page, go, shot, expect, at, api }) {
      const code = this.box
      await go('/phone')
      await page.locator('a[href*="pack-box"]').click()
      await expect.visible(page.locator('video'))
      await expect.visible(verdict(page, 'asking'))
      await shot('asked')
      expect.match(await page.locator('.verdict .code').textContent(), new RegExp(code.split('/')[1]), 'the code that the camera read')
      await page.locator('.fields input').fill('Fenjiu 53% 500 ml')
      await page.locator('.fields button[type=submit]').click()
      await expect.visible(verdict(page, 'passed'))
      await shot('begun')
      await scanner2(page)
      const bottles = Array.from({ length: 6 }, () => bottle(at))
      for (const [i, b] of bottles.entries()) {
        await wedge(page, b)
        // The last ones come faster than the node answers: none is lost.
        if (i < 3) await page.waitForFunction((b) => document.querySelector('.verdict .code')?.textContent === b, b)
        if (i === 2) {
          // The same bottle again is said, and changes nothing.
          await wedge(page, b)
          await expect.visible(verdict(page, 'warned'))
          await shot('twice')
        }
      }
      await page.waitForFunction((b) => document.querySelector('.verdict .code')?.textContent === b, bottles[5])
      await expect.visible(verdict(page, 'passed'))
      await shot('packed')
      const run = (await api.must('GET', '/api/flow-runs?about=' + encodeURIComponent(code))).items[0]
      expect.equal(run.state, 'ended', 'the run of the box')
      expect.equal(run.steps, 8, 'steps: the box, six bottles and one twice')
      // A box that is packed is refused, with the reason.
      await wedge(page, code)
      await expect.visible(verdict(page, 'refused'))
      await page.locator('.verdict summary').first().click()
      await shot('refused')
    },
  },
  {
    // Without network: scans are kept, in order, through a reload, and sent when it is back; what somebody must look at is shown.
    name: 'offline', node: 'food-liquor', user: 'li', viewport: small, touch: true, offline: true,
    async run({ page, context, go, shot, expect, at, api }) {
      await go('/phone')
      await page.locator('a[href*="pack-box"]').click()
      await scanner(page)
      const worker = await page.evaluate(() => Promise.race([navigator.serviceWorker?.ready.then(() => true), new Promise((ok) => setTimeout(() => ok(false), 6000))])).catch(() => false)
      const code = box(at)
      const bottles = Array.from({ length: 6 }, () => bottle(at))
      await context.setOffline(true)
      await wedge(page, code)
      await page.locator('.fields input').fill('Fenjiu 53% 500 ml')
      await page.locator('.fields button[type=submit]').click()
      await expect.visible(verdict(page, 'kept'))
      await shot('kept')
      await page.locator('.acts button', { hasText: /接着|same/ }).click()
      for (const b of bottles) {
        await wedge(page, b)
        await page.waitForFunction((b) => document.querySelector('.verdict .code')?.textContent === b, b)
      }
      if (worker) {
        // The page is gone and comes back, still without network.
        await page.reload()
        await expect.visible(page.locator('.phone'))
        await go('/phone/queue')
        await page.waitForFunction(() => document.querySelectorAll('li.waits').length === 7)
        await shot('waiting')
      } else {
        await page.locator('header .net').click().catch(() => undefined)
      }
      expect.equal((await api.must('GET', '/api/flow-runs?about=' + encodeURIComponent(code))).items.length, 0, 'runs before the network is back')
      await context.setOffline(false)
      await page.waitForFunction(() => document.querySelectorAll('li.waits').length === 0 && !/\d/.test(document.querySelector('header .net span')?.textContent ?? '1'), undefined, { timeout: 30000 })
      await go('/phone/queue')
      await shot('sent')
      const run = (await api.must('GET', '/api/flow-runs?about=' + encodeURIComponent(code))).items[0]
      expect.equal(run.state, 'ended', 'the run that was begun without network')
      expect.equal(run.steps, 7, 'its steps')
      const full = await api.must('GET', '/api/flow-runs/' + run.run)
      expect.equal(full.journal.filter((e) => e.kind === 'scan').map((e) => e.code).join(), [code, ...bottles].join(), 'order of the scans')
      console.log('     service worker: ' + (worker ? 'took the reload without network' : 'not taken by this browser'))
    },
  },
  {
    // Somebody else was first: what was scanned without network is not lost, and is not done over what they did.
    name: 'conflict', node: 'food-liquor', user: 'li', viewport: small, touch: true,
    async run({ page, context, go, shot, expect, at, api }) {
      await go('/phone/queue')
      await go('/phone')
      await page.locator('a[href*="pack-box"]').click()
      await scanner(page)
      const code = box(at)
      await wedge(page, code)
      await page.locator('.fields input').fill('Fenjiu 53% 500 ml')
      await page.locator('.fields button[type=submit]').click()
      await expect.visible(verdict(page, 'passed'))
      const run = (await api.must('GET', '/api/flow-runs?about=' + encodeURIComponent(code))).items[0].run
      await context.setOffline(true)
      await wedge(page, bottle(at))
      await expect.visible(verdict(page, 'kept'))
      await api.must('POST', `/api/flow-runs/${run}/cancel`, { why: 'the box is broken' })
      await context.setOffline(false)
      await expect.visible(page.locator('header .badge'))
      await page.locator('header .net').click()
      await expect.visible(page.locator('.verdict.error'))
      await shot('conflict')
      await large(page, expect, 'the conflict')
      expect.match(await page.locator('.verdict.error').first().textContent(), /admin|broken|取消|cancel/i, 'who did what meanwhile')
      await page.locator('li button.big').first().click()
      await page.waitForFunction(() => !document.querySelector('header .badge'))
    },
  },
  {
    // C5: packed boxes are stacked on a pallet, all by camera, one after the other.
    name: 'pallet', node: 'food-liquor', user: 'li', viewport: small, touch: true,
    async camera({ at, api }) {
      this.pallet = `${at.prefix}/D${some(9)}`
      this.boxes = []
      for (let i = 0; i < 2; i++) {
        const code = box(at)
        const { run } = await scanned(api, 'passed', { flow: 'bottle-to-store/pack-box', code, form: { product: 'Fenjiu 53% 500 ml' } })
        for (let n = 0; n < 6; n++) await scanned(api, 'passed', { run, code: bottle(at) })
        this.boxes.push(code)
      }
      return table(api, 'pallet', [this.pallet, ...this.boxes])
    },
    async run({ page, context, go, shot, expect, api }) {
      await continuous(context)
      await go('/phone/scan?flow=bottle-to-store%2Fstack-pallet')
      await page.reload()
      for (const code of [this.pallet, ...this.boxes]) await saw(page, code)
      await expect.visible(verdict(page, 'passed'))
      await shot('stacked')
      await page.locator('.acts .big', { hasText: /本垛完成|pallet is full/ }).click()
      await page.waitForFunction(() => !document.querySelector('.step .about'))
      const run = (await api.must('GET', '/api/flow-runs?about=' + encodeURIComponent(this.pallet))).items[0]
      expect.equal(run.state, 'ended', 'the run of the pallet: ' + run.say)
      expect.equal(run.verdict, 'passed', 'its verdict')
    },
  },
  {
    // C6: an order goes through the warehouse; somebody sends it back; the very next scan stops it and says where it goes.
    name: 'intercepted', node: 'cold-distributor', user: 'li', viewport: small, touch: true,
    async camera({ at, api }) {
      this.order = `${at.prefix}/SO${some(12)}`
      await scanned(api, 'passed', { flow: 'order-interception/take-order', code: this.order, form: { sku: 'SKU-001', quantity: 1 } })
      return table(api, 'intercepted', [this.order], 'qr', 4)
    },
    async run({ page, go, shot, expect, api }) {
      await go('/phone/scan?flow=order-interception%2Fparcel')
      await saw(page, this.order)
      await expect.visible(verdict(page, 'passed'))
      await shot('wave')
      await scanned(api, 'passed', { flow: 'order-interception/return-order', code: this.order, form: { why: 'sent back' } })
      await page.locator('.acts .big', { hasText: /扫下一个|Scan the next/ }).click()
      await expect.visible(verdict(page, 'diverted'))
      await shot('stopped')
      expect.match(await verdict(page, 'diverted').textContent(), /sent back/, 'why')
      const run = (await api.must('GET', '/api/flow-runs?flow=order-interception/parcel&about=' + encodeURIComponent(this.order))).items[0]
      expect.equal(run.verdict, 'diverted', 'the run')
      expect.equal(run.steps, 2, 'stopped at the very next step')
    },
  },
  {
    // C9: a damaged part of another enterprise: genuine, on the right vehicle, in warranty; and claimed once only.
    name: 'claim', node: 'automotive-truck', user: 'li', viewport: small, touch: true,
    async camera({ country, api }) {
      const maker = beside(country, 'machinery-bearing')
      this.part = `${maker.at.prefix}/P${some(12)}`
      await scanned(maker.api, 'passed', { flow: 'warranty-claims/make-part', code: this.part, form: { partNumber: 'BRG-6205', name: 'Bearing' } })
      this.vehicle = (await api.must('GET', '/api/flow-runs?flow=warranty-claims/fit&limit=1')).items[0].about
      const { run } = await scanned(api, 'passed', { flow: 'warranty-claims/fit', code: this.vehicle })
      await scanned(api, 'passed', { run, code: this.part })
      return table(api, 'claim', [this.part], 'qr', 4)
    },
    async run({ page, go, shot, expect }) {
      await go('/phone/scan?flow=warranty-claims%2Fclaim')
      await saw(page, this.part)
      await expect.visible(page.locator('.fields'))
      await shot('form')
      const claim = [[/VIN/, this.vehicle.split('VEH-')[1]], [/里程|Mileage/, '12000'], [/故障|broken/, 'noise'], [/金额|Amount/, '860']]
      await fill(page, claim)
      await expect.visible(verdict(page, 'passed'))
      await shot('genuine')
      await page.locator('.acts .big', { hasText: /扫下一个|Scan the next/ }).click()
      await expect.visible(page.locator('.fields'))
      await fill(page, claim)
      await expect.visible(verdict(page, 'refused'))
      await shot('twice')
      expect.match(await verdict(page, 'refused').textContent(), /重复索赔|claimed before/, 'why')
    },
  },
  {
    // C13: the machine, then the film of another enterprise: its properties give the parameters, and the result comes back.
    name: 'parameters', node: 'electronics-pcb', user: 'li', viewport: small, touch: true,
    async camera({ country, api }) {
      const film = beside(country, 'electronics-film')
      this.lot = (await film.api.must('GET', '/api/flow-runs?flow=process-parameters/release-lot&state=ended&limit=20')).items.find((r) => r.verdict === 'passed').about
      this.machine = (await api.must('GET', '/api/flow-runs?flow=process-parameters/set-up&state=ended&limit=20')).items.find((r) => r.verdict === 'passed').about
      return table(api, 'parameters', [this.machine, this.lot])
    },
    async run({ page, context, go, shot, expect, api }) {
      await continuous(context)
      await go('/phone/scan?flow=process-parameters%2Fset-up')
      await page.reload()
      await saw(page, this.machine)
      await saw(page, this.lot)
      await expect.visible(page.locator('.fields'))
      await shot('parameters')
      const set = await page.locator('.fields .field', { has: page.locator('label', { hasText: /温度|Temperature/ }) }).locator('input').inputValue()
      expect.ok(Number(set) >= 20, 'the temperature that the material wants is filled in: ' + set)
      await fill(page, [[/分钟|Minutes/, '12'], [/膜片|Films/, '2'], [/良品|yield/, '91.5']])
      await page.waitForFunction(() => /91\.5/.test(document.querySelector('.verdict.passed')?.textContent ?? ''))
      await shot('done')
      const run = (await api.must('GET', '/api/flow-runs?flow=process-parameters/set-up&about=' + encodeURIComponent(this.machine))).items.find((r) => r.say?.includes('91.5'))
      expect.equal(run.verdict, 'passed', 'the run')
    },
  },
  {
    // C4: goods of an importer are taken over by the next enterprise, too warm: it is said, and the food safety officer has a task.
    name: 'receive', node: 'cold-distributor', user: 'li', viewport: small, touch: true,
    async camera({ country, api }) {
      const from = beside(country, 'cold-importer')
      const n = some(10)
      this.carton = `${from.at.prefix}/CT${n}`
      const { run } = await scanned(from.api, 'passed', { flow: 'cold-chain/load', code: `${from.at.prefix}/CONTAINER-${n}`, form: { truck: 'A12345', goods: 'beef', origin: 'BR', lot: 'L1' } })
      await scanned(from.api, 'passed', { run, code: this.carton })
      await scanned(from.api, 'passed', { run, finish: true })
      return table(api, 'receive', [this.carton], 'datamatrix', 4)
    },
    async run({ page, go, shot, expect }) {
      await go('/phone/scan?flow=cold-chain%2Fpass-on')
      await saw(page, this.carton)
      await expect.visible(page.locator('.fields'))
      await shot('form')
      await large(page, expect, 'the form')
      await fill(page, [[/温度|Temperature/, '-4']])
      await expect.visible(verdict(page, 'warned'))
      await shot('warm')
      await large(page, expect, 'the verdict')
      await go('/phone/tasks')
      const task = page.locator('.tasks li', { hasText: this.carton.split('/')[1] })
      await expect.visible(task)
      await task.locator('button').first().click()
      await page.waitForFunction((c) => [...document.querySelectorAll('section')].some((s) => /我领取|Mine/.test(s.querySelector('h2')?.textContent ?? '') && s.textContent.includes(c)), this.carton.split('/')[1])
      await shot('task')
      await large(page, expect, 'the tasks')
    },
  },
  ...kinds.map(([kind, data, turn, size, want]) => ({
    name: 'camera-' + kind, node: 'food-liquor', user: 'li', viewport: small, touch: true, langs: ['zh'], themes: ['light'],
    async camera({ at, api }) {
      return film(path.join(tmpdir(), `fujie-camera-${kind}-${process.pid}.y4m`), [{ frames: 5 }, { picture: await symbol(api, kind, data(at), size), turn, scale: 0.9, frames: 25 }], { width: 1280, height: 720 })
    },
    async run({ page, go, at, expect }) {
      await go('/phone/look')
      await expect.visible(page.locator('video'))
      await page.waitForFunction(() => location.hash.startsWith('#/records/'))
      expect.equal(decodeURIComponent(new URL(page.url()).hash.slice('#/records/'.length)), want(at), 'what the camera read')
    },
  })),
]

/** From the camera to the scanner, by the buttons. */
async function scanner2(page) {
  const next = page.locator('.acts .big', { hasText: /扫下一个|Scan the next/ })
  if (await next.count()) await next.click()
  await scanner(page)
}
