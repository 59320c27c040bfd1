// Who watches a node looks at its ledger and checks an entry himself; reads what nodes below reported, and how well they serve.
export default [
  {
    name: 'ledger', node: 'food', user: 'admin',
    async run({ page, go, shot, expect }) {
      await go('/')
      await page.locator('nav.side a[href="#/operate/ledger"]').click()
      await expect.visible(page.locator('.logs .card'))
      await page.locator('#entry').fill('1')
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.proof .good'))
      await shot('proof')
      await page.locator('#entry').fill('999999')
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('p.bad[role=alert]'))
    },
  },
  {
    name: 'forged', node: 'food', user: 'admin', langs: ['zh'], themes: ['light'],
    async run({ page, context, go, shot, expect }) {
      await context.route('**/api/ledger/proof*', async (r) => {
        const a = await r.fetch()
        const p = await a.json()
        p.leaf = Buffer.from('{"forged":true}').toString('base64')
        await r.fulfill({ response: a, json: p })
      })
      await go('/operate/ledger')
      await page.locator('#entry').fill('1')
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.proof .bad'))
      expect.equal(await page.locator('.proof .good').count(), 0, 'what is forged is not called good')
      await shot('forged')
    },
  },
  {
    name: 'reports', node: 'national-beijing', user: 'zhao',
    async run({ page, go, shot, expect }) {
      await go('/operate/reports')
      await expect.visible(page.locator('tbody tr'))
      await page.locator('tbody tr a').first().click()
      await expect.visible(page.locator('.rows tbody tr'))
      await shot('report')
      await go('/operate/levels')
      await expect.visible(page.locator('.cards .card'))
      await shot('levels')
    },
  },
  {
    name: 'node', node: 'food-liquor', user: 'admin',
    async run({ page, go, shot, expect }) {
      await go('/operate')
      await expect.visible(page.locator('.scroller tbody tr'))
      await shot('node')
    },
  },
]
