// An administrator makes a template, publishes it, and registers an identifier that keeps to it.
export default [
  {
    name: 'make', node: 'food-dairy', user: 'admin',
    async run({ page, go, shot, expect, api, at }) {
      const name = 'J' + Math.floor(Math.random() * 1e9).toString(36).toUpperCase()
      const id = at.prefix + '/META_' + name
      await go('/templates')
      await page.locator('.page-head .el-button--primary').click()
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('form .bad'))
      await page.locator('#short').fill(name)
      await page.locator('#zh').fill('牛奶 <b>盒</b>')
      await page.locator('#en').fill('Milk carton')
      await page.locator('#n0').fill('serialNumber')
      await page.locator('#z0').fill('序列号')
      await page.locator('.el-checkbox').first().click()
      await page.getByRole('button', { name: /添加属性|Add a property/ }).click()
      await page.locator('#n1').fill('fat')
      await page.locator('#t1').selectOption('number')
      await page.locator('#s1').fill('1')
      await page.locator('#u1').fill('%')
      await shot('editor')
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('tbody tr'))
      await shot('draft')
      await page.getByRole('button', { name: /^(发布|Publish)$/ }).click()
      await page.locator('.el-message-box .el-button--primary').click()
      await page.waitForFunction(() => /已发布|Published/.test(document.querySelector('.bar b')?.textContent ?? ''))
      await shot('published')
      const v = await api.must('GET', '/api/templates/' + at.prefix + '/META_' + name)
      expect.equal(v.state, 'published', 'state')
      expect.equal(v.published.items.map((i) => i.name + ':' + i.type).join(), 'serialNumber:string,fat:number', 'properties')
      expect.equal(v.published.names.zh, '牛奶 <b>盒</b>', 'its name as it was typed')
      await page.locator('tbody tr').nth(1).getByRole('button').click()
      await page.waitForFunction(() => /已禁用|disabled/.test(document.querySelector('tbody')?.textContent ?? ''))
      await go('/templates')
      await page.waitForFunction((id) => document.querySelector('tbody')?.textContent.includes(id), id)
      await shot('list')
    },
  },
  {
    // A template goes out into a file and comes in from one; a wrong file is told by line, and nothing of it is kept.
    name: 'file', node: 'food-dairy', user: 'admin',
    async run({ page, go, shot, expect, api, at }) {
      const name = 'F' + Math.floor(Math.random() * 1e9).toString(36).toUpperCase()
      await go('/templates/new')
      const file = page.locator('#tfile')
      await page.locator('details summary', { hasText: /从文件|From a file/ }).click()
      const give = (text) => file.setInputFiles({ name: 'cup.yaml', mimeType: 'application/yaml', buffer: Buffer.from(text) })
      await give('names: {zh: 杯\nitems: []\n')
      await expect.visible(page.locator('details [role=alert]').getByText('[2:1]'))
      await give('names: {zh: 杯}\nitems: []\ncolour: red\n')
      await expect.visible(page.locator('details [role=alert]').getByText('colour'))
      await shot('wrong')
      await give(`id: 88.1/META_${name}\nnames: {zh: 酸奶杯, en: Yoghurt cup}\nitems:\n- {index: 0, name: fat, type: number, minimum: "1.50", unit: "%", names: {zh: 脂肪}}\n- {index: 0, name: note, type: string, names: {zh: 备注}}\n`)
      await page.waitForFunction(() => document.querySelector('#n1')?.value === 'note')
      expect.equal(await page.locator('#short').inputValue(), name, 'the name of the file')
      await shot('read')
      await page.locator('.page-head .el-button--primary').click()
      await expect.visible(page.locator('tbody tr'))
      const id = `${at.prefix}/META_${name}`
      const [out] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: /^(导出文件|Export)$/ }).click()])
      expect.match(out.suggestedFilename(), /\.yaml$/, 'a file for people')
      let text = ''
      for await (const part of await out.createReadStream()) text += part
      expect.ok(text.includes('"1.50"') && text.includes('酸奶杯') && text.includes(id), 'what is in the file: ' + text)
      const back = await api.must('POST', '/api/template-texts', { text })
      const draft = (await api.must('GET', '/api/templates/' + id)).draft
      expect.equal(JSON.stringify(back), JSON.stringify(draft), 'the file says what the template says')
    },
  },
]
