// An administrator installs a case, looks what it brought, and removes it again.
import { mkdtempSync, mkdirSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'

export default [
  {
    name: 'install', node: 'cable-optical', user: 'admin',
    async run({ page, go, shot, expect, api }) {
      await api.del('/api/solutions/order-interception?force=true')
      await go('/')
      await page.locator('nav.side a[href="#/market"]').click()
      await expect.visible(page.locator('.cards li a[href="#/market/order-interception"]'))
      await shot('market')
      await page.locator('.cards li a[href="#/market/order-interception"]').click()
      await expect.visible(page.locator('.readme h3, .readme h4'))
      await shot('one')
      await page.locator('.page-head .el-button--primary').click()
      await page.locator('input[name=party]').first().check()
      const other = page.locator('.el-dialog .row input').first()
      if (await other.count()) {
        await other.fill('not a prefix')
        expect.ok(await page.locator('.el-dialog__footer .el-button--primary').isDisabled(), 'a wrong prefix is not sent')
        await other.fill('')
      }
      await shot('ask')
      await page.locator('.el-dialog__footer .el-button--primary').click()
      await expect.visible(page.locator('.next'))
      const x = await api.must('GET', '/api/solutions/order-interception')
      expect.equal(x.installed?.state, 'installed', 'state')
      expect.atLeast((await api.must('GET', '/api/flows')).items.filter((f) => (f.flow ?? f.name ?? '').includes('order-interception')).length, 1, 'flows of the case')
      await shot('installed')
      await page.locator('.page-head .el-button--danger').click()
      await page.locator('.el-dialog__footer .el-button--danger').click()
      await expect.visible(page.locator('.el-message .undo'))
      expect.equal((await api.must('GET', '/api/solutions/order-interception')).installed, undefined, 'what is removed')
      await page.locator('.el-message .undo').click()
      await page.waitForFunction(() => document.querySelector('.facts .good'))
      expect.equal((await api.must('GET', '/api/solutions/order-interception')).installed?.state, 'installed', 'what is taken back')
      await api.must('DELETE', '/api/solutions/order-interception?force=true')
    },
  },
  {
    name: 'own', node: 'cable-optical', user: 'admin',
    async run({ page, go, shot, expect }) {
      const dir = path.join(mkdtempSync(path.join(tmpdir(), 'case-')), 'mine')
      mkdirSync(path.join(dir, 'flows'), { recursive: true })
      writeFileSync(path.join(dir, 'solution.yaml'), 'solution: mine\nversion: 1.0.0\nname: {en: Mine, zh: 我的}\nsummary: {en: <b>bold</b>, zh: <b>粗</b>}\nmode: lean-product\nindustry: cable\nparties:\n  plant:\n    name: {en: Plant, zh: 工厂}\n    flows: [nowhere]\n')
      await go('/market/own')
      await page.locator('#folder').setInputFiles(dir)
      await expect.visible(page.locator('form b'))
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.fault'))
      expect.match(await page.locator('.fault').innerText(), /solution\.yaml/, 'the fault names the file')
      expect.match(await page.locator('.fault').innerText(), /nowhere/, 'the fault names what leads nowhere')
      await shot('fault')
    },
  },
]
