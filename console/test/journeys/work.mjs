const some = (n) => Array.from({ length: n }, () => '0123456789ABCDEFGHJKLMNPQRSTUVWXYZ'[Math.floor(Math.random() * 34)]).join('')

/** An order of the warehouse, marked to be stopped or not. */
async function order(api, at, marked) {
  const id = (await api.must('POST', '/api/codes', { rule: `${at.prefix}/ORDER-INTERCEPTION-ORDERS`, count: 1 }).catch(() => undefined))?.codes?.[0] ?? `${at.prefix}/SO${some(12)}`
  const take = await api.must('POST', '/api/flow-scans', { flow: 'order-interception/take-order', code: id, form: { sku: 'SKU-001', quantity: 1 } })
  if (marked && take.verdict === 'passed') await api.must('POST', '/api/flow-scans', { flow: 'order-interception/return-order', code: id, form: { why: 'journey' } })
  return { id, take }
}
const scan = (api, body) => api.must('POST', '/api/flow-scans', body)

export default [
  {
    // From the list of flows to the picture of one, and what a step does.
    name: 'flows', node: 'cold-distributor', user: 'admin',
    async run({ page, go, shot, expect, lang }) {
      await go('/work')
      await expect.visible(page.locator('article.card'))
      await shot('list')
      await page.locator('article.card h3 a[href$="order-interception/parcel"]').click()
      await expect.visible(page.locator('.picture .step'))
      await page.waitForTimeout(300)
      await shot('picture')
      const steps = page.locator('.picture .step')
      expect.atLeast(await steps.count(), 6, 'steps in the picture')
      // By keyboard: a step is a button.
      await steps.nth(3).focus()
      await page.keyboard.press('Enter')
      expect.equal(await steps.nth(3).getAttribute('aria-pressed'), 'true', 'the step that was chosen')
      await expect.visible(page.locator('.card.side .checks li'))
      expect.match(await page.locator('.card.side').textContent(), lang === 'zh' ? /已拦截/ : /stopped/, 'what its checks say')
      await shot('step')
    },
  },
  {
    // A code is tried on a flow: what would happen is said, and nothing happens.
    name: 'try', node: 'cold-distributor', user: 'admin',
    async run({ page, go, shot, expect, api, at }) {
      const { id } = await order(api, at, true)
      await go('/work/scan?flow=order-interception%2Fparcel&try=1')
      await page.locator('#code').fill(id)
      await page.locator('#code').press('Enter')
      await expect.visible(page.locator('.outcome .verdict.diverted'))
      await expect.visible(page.locator('.explained li.hit'))
      await shot('tried')
      expect.equal((await api.must('GET', `/api/flow-runs?flow=order-interception/parcel&about=${encodeURIComponent(id)}`)).items.length, 0, 'runs that a try began')
    },
  },
  {
    // An order is sent back; its parcel is stopped at the next station, and its run says why.
    name: 'stopped', node: 'cold-distributor', user: 'admin',
    async run({ page, go, shot, expect, api, at }) {
      const { id } = await order(api, at, false)
      await scan(api, { flow: 'order-interception/parcel', code: id, device: at.prefix + '/SCANNER-WAVE', where: at.prefix + '/LOC-WAVE' })
      await scan(api, { flow: 'order-interception/return-order', code: id, form: { why: 'journey' } })
      await scan(api, { flow: 'order-interception/parcel', code: id, device: at.prefix + '/SCANNER-HIGH-BAY', where: at.prefix + '/LOC-HIGH-BAY' })
      await go('/work/runs?about=' + encodeURIComponent(id))
      await expect.visible(page.locator('.table tbody tr'))
      await shot('list')
      const row = page.locator('.table tbody tr', { has: page.locator('.verdict.diverted') })
      await row.first().click()
      await expect.visible(page.locator('.halt.diverted'))
      await expect.visible(page.locator('.line > li.diverted'))
      await page.waitForTimeout(300)
      await shot('run')
      expect.equal(await page.locator('.line > li').count(), 2, 'lines of its journal')
      // What a flow wrote to the systems.
      const mail = await api.must('GET', '/api/flow-messages?to=order-interception/sorter&limit=1')
      expect.ok(mail.items.length > 0, 'the sorter was told')
      await go('/work/messages?to=order-interception%2Fsorter')
      await expect.visible(page.locator('.table tbody tr'))
      await shot('messages')
    },
  },
  {
    // At the desk, for real: a scanner types, the form is filled in, the run goes on; then it is cancelled, with a reason.
    name: 'desk', node: 'food-liquor', user: 'admin',
    async run({ page, go, shot, expect, api, at }) {
      const box = `${at.prefix}/X${some(11)}`
      await go('/work/scan?flow=bottle-to-store%2Fpack-box')
      await expect.visible(page.locator('#code'))
      await page.waitForFunction(() => document.activeElement?.id === 'code')
      await page.keyboard.type(box, { delay: 1 })
      await page.keyboard.press('Enter')
      await expect.visible(page.locator('form.fields input'))
      await shot('asked')
      await page.locator('form.fields input').fill('Fenjiu 53% 500 ml')
      await page.keyboard.press('Enter')
      await expect.visible(page.locator('.outcome .verdict.passed'))
      await page.waitForFunction(() => document.activeElement?.id === 'code')
      await page.keyboard.type(`${at.prefix}/B${some(13)}`, { delay: 1 })
      await page.keyboard.press('Enter')
      await page.waitForFunction(() => document.querySelectorAll('.outcome li').length > 0 && document.querySelector('#code')?.value === '')
      await shot('going-on')
      await page.locator('a[href^="#/work/runs/"]').last().click()
      await expect.visible(page.locator('.line > li.waits'))
      expect.equal(await page.locator('.line > li').count(), 3, 'two scans, and what it waits for')
      await page.locator('.page-head .cancel').click()
      await expect.visible(page.locator('.el-dialog #why'))
      await page.locator('.el-dialog button[type=submit]').click()
      await expect.visible(page.locator('.el-dialog [role=alert]'), 'a reason is asked for')
      await page.locator('#why').fill('the box is broken')
      await shot('cancel')
      await page.locator('.el-dialog button[type=submit]').click()
      await expect.visible(page.locator('p.good[role=status]'))
      await shot('cancelled')
      const run = (await api.must('GET', '/api/flow-runs?about=' + encodeURIComponent(box))).items[0]
      expect.equal(run.state, 'cancelled', 'the run')
    },
  },
  {
    // Goods come too warm: the flow makes a task; somebody takes it, gives it back, takes it again and does it.
    name: 'tasks', node: 'cold-distributor', user: 'li',
    async run({ page, go, shot, expect, api, at }) {
      const thing = (await order(api, at, false)).id
      const r = await scan(api, { flow: 'cold-chain/pass-on', code: thing, form: { temperature: -3 } })
      expect.equal(r.verdict, 'warned', 'too warm: ' + r.say)
      await go('/work/tasks')
      const card = page.locator('li.card', { hasText: thing.split('/')[1] })
      await expect.visible(card)
      await shot('list')
      await card.locator('.el-button--primary').click()
      await expect.visible(card.locator('b.taken'))
      await page.locator('.el-message .undo').click()
      await expect.visible(card.locator('b.open'))
      await card.locator('.el-button--primary').click()
      await expect.visible(card.locator('b.taken'))
      await card.locator('.el-button--primary').click()
      await page.locator('#note').fill('Measured again: -14 °C')
      await shot('done')
      await page.locator('.el-dialog button[type=submit]').click()
      await card.waitFor({ state: 'detached' })
      await page.locator('.el-radio-button').last().click()
      await page.waitForTimeout(300)
      const done = await api.must('GET', '/api/flow-tasks?state=done&limit=200')
      expect.ok(done.items.some((x) => x.about === thing && /Measured/.test(x.note)), 'the task is done, with its note')
    },
  },
]
