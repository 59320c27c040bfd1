// An enterprise applies without an account, the operator looks at it, approves it, and it resolves; then it is suspended for a reason.
const fill = async (page, prefix, name) => {
  await page.locator('#orgName').fill(name)
  await page.locator('#crtType').selectOption('2')
  await page.locator('#crt').fill('JOURNEY-' + prefix)
  await page.locator('#cname').fill('王工')
  await page.locator('#cphone').fill('0510-1234567')
  await page.locator('#proposed').fill(prefix)
}
const fresh = () => '88.118.' + (1_000_000 + Math.floor(Math.random() * 8_000_000))

export default [
  {
    name: 'apply', node: 'medical-devices',
    async run({ page, go, shot, expect, api }) {
      const prefix = fresh()
      const name = '苏泵 <b onclick=alert(1)>' + prefix + '</b>'
      await go('/')
      await page.locator('nav.side a[href="#/office/apply"]').click()
      await expect.visible(page.locator('#orgName'))
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('[aria-invalid=true]'))
      await shot('faults')
      await fill(page, prefix, name)
      await page.getByRole('button', { name: /生成密钥|Make a key/ }).click()
      const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /下载私钥|Save the private key/ }).click()])
      expect.equal(file.suggestedFilename(), prefix + '.pem', 'the file of the key')
      await page.locator('#kept').check()
      await shot('filled')
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.card[role=status]'))
      await shot('sent')
      const list = (await api.must('GET', '/api/prefix-applications?prefix=' + prefix)).items
      expect.equal(list.length, 1, 'applications of the prefix')
      expect.equal(list[0].state, 'submitted', 'state')
      expect.equal(list[0].form.organisation.orgName, name, 'the name as it was typed')
    },
  },
  {
    name: 'decide', node: 'medical-devices', user: 'admin',
    async run({ page, go, shot, expect, api }) {
      const prefix = fresh()
      await go('/office/apply')
      await fill(page, prefix, '苏泵 ' + prefix)
      await page.getByRole('button', { name: /生成密钥|Make a key/ }).click()
      await page.locator('#kept').check()
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.card[role=status]'))
      await go('/office')
      await page.locator('#prefix').fill(prefix)
      await page.keyboard.press('Enter')
      await page.waitForFunction((p) => document.querySelectorAll('tbody tr').length === 1 && document.querySelector('tbody')?.textContent.includes(p), prefix)
      await shot('list')
      await page.locator('tbody tr a').click()
      const button = (zh, en) => page.locator('.page-head').getByRole('button', { name: new RegExp(`^(${zh}|${en})$`) })
      await button('受理', 'Take into review').click()
      await page.locator('.el-dialog button[type=submit]').click()
      await page.waitForFunction(() => /审核中|In review/.test(document.querySelector('.facts')?.textContent ?? ''))
      await button('批准', 'Approve').click()
      for (const box of await page.locator('.accept input').all()) await box.check()
      await shot('approve')
      await page.locator('.el-dialog button[type=submit]').click()
      await page.waitForFunction(() => /启用|Active/.test(document.querySelector('.facts dd')?.textContent ?? ''), undefined, { timeout: 30000 })
      await page.locator('.facts button').click()
      await page.waitForFunction(() => /✓ (可以解析|It resolves)/.test(document.querySelector('.facts')?.textContent ?? ''), undefined, { timeout: 20000 })
      await shot('active')
      await button('停用', 'Suspend').click()
      expect.ok(await page.locator('.el-dialog button[type=submit]').isDisabled(), 'nothing is suspended without a reason')
      await page.locator('#reason').fill('证照过期')
      await page.locator('.el-dialog button[type=submit]').click()
      await page.waitForFunction(() => /停用|Suspended/.test(document.querySelector('.facts dd')?.textContent ?? ''), undefined, { timeout: 20000 })
      await shot('suspended')
      const x = (await api.must('GET', '/api/prefix-applications?prefix=' + prefix)).items[0]
      expect.equal(x.state, 'suspended', 'state')
      expect.equal(x.events.at(-1).why, '证照过期', 'the reason')
      await go('/office/prefixes')
      await page.waitForFunction((p) => document.querySelector('tbody')?.textContent.includes(p), prefix)
      await shot('prefixes')
      await go('/office/organisations')
      await page.waitForFunction((p) => document.querySelector('tbody')?.textContent.includes(p), prefix)
    },
  },
]
