// The indicators of a liquor plant whose floor is running: from the cards to the identifiers behind one number.
import { held } from './trace.mjs'

export default [
  {
    name: 'cards', node: 'food-liquor', user: 'admin',
    async run({ page, go, shot, expect, api }) {
      const known = (await api.must('GET', '/api/indicators')).items
      await go('/figures')
      await expect.visible(page.locator('.figure .number b'))
      await page.waitForFunction((n) => document.querySelectorAll('.figure .number').length >= n, known.length)
      await expect.visible(page.locator('.spark svg'))
      await shot('cards')
      await held(page, 'cards')
      await page.locator('.figure', { hasText: '5% → 32%' }).locator('a').click()
      await expect.visible(page.locator('.chart svg'))
      await shot('one')
      await page.locator('.drill').first().click()
      await expect.visible(page.locator('.things .ident a'))
      await page.locator('.things').scrollIntoViewIfNeeded()
      await shot('behind')
      await held(page, 'one')
      const [file] = await Promise.all([page.waitForEvent('download'), page.locator('.things .bar .el-button').click()])
      expect.match(file.suggestedFilename(), /^direct-ship-rate-.*\.csv$/, 'name of the file')
      await page.locator('.things .ident a').first().click()
      await page.waitForFunction(() => location.hash.startsWith('#/records/'))
    },
  },
  {
    // The days are asked for by the node's own words; nonsense is refused in words, not swallowed.
    name: 'days', node: 'electronics-pcb', user: 'admin', errors: true,
    async run({ page, go, shot, expect }) {
      await go('/figures/process-parameters/first-pass-yield')
      await expect.visible(page.locator('.chart svg'))
      await shot('kinds')
      await go('/figures/process-parameters/set-up-time?from=2026-13-01')
      await expect.visible(page.locator('.fault'))
      await go('/figures/process-parameters/no-such')
      await expect.visible(page.locator('.fault'))
      await shot('refused')
    },
  },
]
