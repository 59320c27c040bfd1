// Who watches over the country looks how it is, finds a province, and sees a node that fell silent.
export default [
  {
    name: 'look', node: 'national-beijing', user: 'zhao',
    async run({ page, go, shot, expect, country }) {
      await go('/')
      await page.locator('nav.side a[href="#/situation"]').click()
      await expect.visible(page.locator('.totals'))
      // All enterprises are heard of through their second-level nodes.
      const wanted = country.nodes.filter((n) => n.role === 'enterprise' || n.role === 'second-level').length + 1
      await page.waitForFunction((n) => Number(document.querySelector('.totals dd')?.textContent?.replace(/\D/g, '')) >= n, wanted, { timeout: 30000 })
      // What enterprises report comes here too, forwarded and signed by themselves.
      await page.waitForFunction(async () => {
        const answer = await fetch('/api/reports?limit=1000')
        return answer.ok && (await answer.json()).items.some((r) => r.node.split('.').length > 2)
      }, undefined, { timeout: 90000, polling: 2000 })
      await page.waitForFunction(() => document.querySelector('path.line')?.getAttribute('d')?.length > 20)
      await shot('country')
      await page.locator('.tile', { hasText: /北京|Beijing/ }).click()
      await page.waitForFunction(() => [...document.querySelectorAll('tbody td:nth-child(4)')].length > 0 && [...document.querySelectorAll('tbody td:nth-child(4)')].every((c) => /北京|Beijing/.test(c.textContent)))
      await page.locator('.paged').scrollIntoViewIfNeeded()
      await shot('province')
      await page.getByRole('button', { name: /暂停更新|Pause/ }).click()
      await expect.visible(page.getByRole('button', { name: /恢复更新|Go on/ }))
    },
  },
  {
    name: 'away', node: 'national-beijing', user: 'zhao', langs: ['zh'], themes: ['light'],
    async run({ page, context, go, shot, expect }) {
      await go('/situation')
      await expect.visible(page.locator('.totals'))
      await context.route('**/api/situation', (r) => r.abort())
      await expect.visible(page.locator('p.warn'))
      expect.ok(await page.locator('.totals').isVisible(), 'what was seen stays')
      await shot('away')
      await context.unroute('**/api/situation')
      await page.waitForFunction(() => !document.querySelector('p.warn'), undefined, { timeout: 30000 })
    },
  },
]
