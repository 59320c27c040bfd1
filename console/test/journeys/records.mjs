const fresh = (s) => s + Math.floor(Math.random() * 1e9).toString(36).toUpperCase()
const both = { langs: ['zh', 'en'], themes: ['light', 'dark'] }

export default [
  {
    name: 'list-show', node: 'food-liquor', user: 'admin', ...both,
    async run({ page, go, shot, expect, at }) {
      await go('/records?prefix=' + at.prefix)
      await expect.visible(page.locator('tbody tr'))
      await page.waitForTimeout(600)
      await shot('list')
      await page.locator('#records-find').fill('no identifier')
      await page.locator('form.find button').click()
      await expect.visible(page.locator('#records-find-bad'))
      await page.locator('tbody tr a').first().click()
      await expect.visible(page.locator('.trust'))
      await shot('show')
      await go('/records/' + at.prefix + '/' + fresh('NOBODY-'))
      await expect.visible(page.locator('.empty'))
      await shot('absent')
    },
  },
  {
    name: 'register', node: 'food-liquor', user: 'admin', ...both,
    async run({ page, go, shot, expect, api, at }) {
      const suffix = fresh('J')
      await go(`/records/new?template=${at.prefix}/META_BOTTLE&id=${at.prefix}/${suffix}`)
      await expect.visible(page.locator('#p-product'))
      await page.locator('.page-head').waitFor()
      await shot('empty')
      await page.locator('#p-product').fill('白酒 500 mL')
      await page.locator('main form button[type=submit], main button.el-button--primary').last().click()
      await expect.visible(page.locator('.trust'))
      await expect.visible(page.getByText('白酒 500 mL').first())
      await expect.visible(page.locator('.beside img'), 'its symbol')
      await expect.visible(page.locator('.history time'), 'its last change')
      await shot('registered')
      await api.must('DELETE', `/api/handles/${at.prefix}/${suffix}`)
    },
  },
  {
    // A file as a spreadsheet in China saves it, with faults in two of its rows.
    name: 'import', node: 'food-liquor', user: 'admin', ...both,
    async run({ page, go, shot, expect, api, at }) {
      const s = fresh('I')
      // 编号,产品,灌装日期 and 白酒 in GB18030.
      const head = Buffer.from([0xb1, 0xe0, 0xba, 0xc5, 0x2c, 0xb2, 0xfa, 0xc6, 0xb7, 0x2c, 0xb9, 0xe0, 0xd7, 0xb0, 0xc8, 0xd5, 0xc6, 0xda, 0x0d, 0x0a])
      const liquor = Buffer.from([0xb0, 0xd7, 0xbe, 0xc6])
      const row = (a, b, c) => Buffer.concat([Buffer.from(a + ','), b, Buffer.from(',' + c + '\r\n')])
      await go('/records/import')
      await page.locator('#import-file').setInputFiles({ name: 'bottles.csv', mimeType: 'text/csv', buffer: Buffer.concat([head, row(s + '-1', liquor, '2026/11/2'), row(s + '-2', Buffer.from(''), ''), row(s + '-3', liquor, '20261103'), row('', liquor, '')]) })
      await expect.visible(page.getByText('GB18030', { exact: false }).last())
      await page.locator('#import-template').click()
      await page.locator('#import-template').fill('META_BOTTLE')
      await page.locator('.el-select-dropdown__item:visible', { hasText: 'META_BOTTLE' }).last().click()
      await expect.visible(page.locator('#col-product'))
      expect.equal(await page.locator('#col-product').inputValue(), '1', 'the column of the product')
      await page.locator('#import-3 ~ .bar button').first().click()
      await expect.visible(page.locator('.troubles tbody tr'))
      await shot('checked')
      expect.equal(await page.locator('.troubles tbody tr').count(), 2, 'rows found bad before writing')
      await page.locator('button.start').click()
      await expect.visible(page.locator('button.report'))
      const download = page.waitForEvent('download')
      await page.locator('button.report').click()
      const { readFile } = await import('node:fs/promises')
      const text = await readFile(await (await download).path(), 'utf8')
      expect.equal(text.trim().split('\r\n').length, 3, 'lines of the error report')
      await page.locator('.result').scrollIntoViewIfNeeded()
      await shot('done')
      for (const n of ['-1', '-3']) {
        const a = await api.must('GET', `/api/handles/${at.prefix}/${s}${n}`)
        expect.ok(JSON.stringify(a).includes('白酒'), 'the product of ' + n)
        await api.must('DELETE', `/api/handles/${at.prefix}/${s}${n}`)
      }
    },
  },
  {
    name: 'codes', node: 'food-liquor', user: 'admin', ...both,
    async run({ page, go, shot, expect }) {
      await go('/records/codes')
      await expect.visible(page.locator('form.issue'))
      await page.locator('#codes-count').fill('25')
      await page.locator('form.issue button[type=submit]').click()
      await expect.visible(page.locator('pre.codes'))
      await shot('issued')
      const download = page.waitForEvent('download')
      await page.locator('button.csv').click()
      const { readFile } = await import('node:fs/promises')
      const lines = (await readFile(await (await download).path(), 'utf8')).trim().split('\r\n').slice(1)
      expect.equal(new Set(lines).size, 25, 'codes in the file')
      await page.locator('.page-head button.new').click()
      await expect.visible(page.locator('#rule-name'))
      await shot('rule')
    },
  },
]
