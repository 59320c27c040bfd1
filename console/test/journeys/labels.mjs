import { readFileSync } from 'node:fs'
import { png } from '../camera.mjs'

const some = (n) => Array.from({ length: n }, () => '0123456789ABCDEFGHJKLMNPQRSTUVWXYZ'[Math.floor(Math.random() * 34)]).join('')

/** Boxes that are really there, of any flow that has run. */
async function things(api, n) {
  const runs = await api.must('GET', '/api/flow-runs?flow=bottle-to-store/pack-box&state=ended&limit=' + n)
  return [...new Set(runs.items.filter((r) => r.verdict === 'passed').map((r) => r.about))]
}

export default [
  {
    // A label is designed by hand and keyboard, advised about, read back, kept, and shown in the list.
    name: 'design', node: 'food-liquor', user: 'admin',
    async run({ page, go, shot, expect, api }) {
      const name = 'journey-' + some(6)
      await go('/labels/new?from=box')
      await expect.visible(page.locator('.label img'))
      await page.locator('.piece').nth(1).click()
      await expect.visible(page.locator('.levels'))
      await shot('advice')
      // A level of error correction is taken by one button; the arrow keys move; undo goes back.
      await page.locator('.levels .el-button').first().click()
      const left = async () => (await page.locator('.piece.on').boundingBox()).x
      const was = await left()
      await page.locator('.piece.on').focus()
      await page.keyboard.press('ArrowLeft')
      await page.keyboard.press('ArrowLeft')
      expect.ok((await left()) < was, 'an arrow key moves what is chosen')
      await page.keyboard.press('Control+z')
      expect.equal(Math.round(await left()), Math.round(was), 'undone')
      // A hand drags the text.
      const text = page.locator('.piece').first()
      const b = await text.boundingBox()
      await page.mouse.move(b.x + b.width / 2, b.y + b.height / 2)
      await page.mouse.down()
      await page.mouse.move(b.x + b.width / 2, b.y + b.height / 2 + 40, { steps: 4 })
      await page.mouse.up()
      expect.ok((await text.boundingBox()).y > b.y + 20, 'dragged')
      await page.locator('.card .check').click()
      await expect.visible(page.locator('.reads li'))
      expect.equal(await page.locator('.reads li.bad').count(), 0, 'symbols that do not read back')
      expect.equal(await page.locator('.reads li.good').count(), 2, 'symbols that read back')
      await page.locator('#label-name').fill(name)
      await page.locator('.page-head .el-button--primary').click()
      await expect.visible(page.locator('p.good[role=status]'))
      await shot('saved')
      const kept = await api.must('GET', '/api/labels/' + name)
      expect.equal(kept.elements.length, 4, 'elements that were kept')
      await api.del('/api/labels/' + name)
    },
  },
  {
    // What is wrong with a design is said by the node, in words, and the last good picture stays.
    name: 'faults', node: 'food-liquor', user: 'admin', errors: true,
    async run({ page, go, shot, expect }) {
      await go('/labels/new?from=gs1')
      await expect.visible(page.locator('.label img'))
      await page.locator('.piece').first().click()
      await page.locator('#content').fill('(01)12345')
      await expect.visible(page.locator('.middle > .fault'))
      await expect.visible(page.locator('.label img'))
      await shot('wrong-gtin')
      await page.locator('#content').fill('{gs1}')
      await page.locator('.middle > .fault').waitFor({ state: 'detached' })
      // Without a name it is not kept.
      await page.locator('.page-head .el-button--primary').click()
      await expect.visible(page.locator('.fault'))
      page.on('dialog', (d) => d.accept())
      await page.locator('#content').fill('(01)09521234543213')
      await page.locator('a[href="#/labels"]').first().click()
      await page.locator('.el-message-box .el-button--primary').click()
      await page.waitForFunction(() => location.hash === '#/labels')
    },
  },
  {
    // A list is pasted and printed: sheets as PDF, commands for a label printer with tags, pictures.
    name: 'print', node: 'food-liquor', user: 'li',
    async run({ page, go, shot, expect, api }) {
      const ids = await things(api, 20)
      expect.atLeast(ids.length, 3, 'boxes that are there')
      await go('/labels/print?design=bottle-to-store-bottle')
      await page.locator('#ids').fill(['id\tproduct', ...ids.map((x) => x + '\tFenjiu'), ids[0]].join('\n'))
      await expect.visible(page.locator('.paper img'))
      await page.waitForTimeout(500)
      await shot('ready')
      expect.match(await page.locator('#ids-said').textContent(), new RegExp(String(ids.length)), 'how many labels')
      const fetch = async () => {
        const [d] = await Promise.all([page.waitForEvent('download'), page.locator('form .el-button--primary').click()])
        const file = { name: d.suggestedFilename(), bytes: readFileSync(await d.path()) }
        await expect.visible(page.locator('p.good[role=status]'))
        return file
      }
      const pdf = await fetch()
      expect.equal(pdf.name, 'bottle-to-store-bottle.pdf', 'the file')
      expect.equal(pdf.bytes.subarray(0, 5).toString(), '%PDF-', 'a PDF')
      await page.locator('.formats label').nth(1).click()
      await page.locator('.el-checkbox').first().click()
      const zpl = (await fetch()).bytes.toString('utf8')
      expect.equal((zpl.match(/\^XZ/g) ?? []).length, ids.length, 'labels for the printer')
      expect.match(zpl, /\^RFW/, 'tags are written')
      await page.locator('.formats label').nth(3).click()
      const zip = await fetch()
      expect.equal(zip.bytes.subarray(0, 2).toString(), 'PK', 'an archive')
      await shot('done')
      expect.ok(png((await api.get('/api/labels/bottle-to-store-bottle/preview?format=png&id=' + encodeURIComponent(ids[0]))).raw).width > 50, 'a picture')
    },
  },
  {
    // What a tag holds for an identifier, and back.
    name: 'tag', node: 'food-liquor', user: 'li',
    async run({ page, go, shot, expect, at }) {
      await go('/labels')
      await expect.visible(page.locator('.cards .card img'))
      await shot('list')
      await go('/labels/tag')
      const make = async (id) => {
        await page.locator('#tag-id').fill(id)
        await page.locator('#tag-id').press('Enter')
        await page.waitForFunction((id) => document.querySelector('.answer')?.textContent.includes(id), id)
        return page.locator('.hex').textContent()
      }
      const memory = await make('urn:epc:id:sgtin:952123.0454321.A1')
      expect.match(memory, /^680036/, 'an EPC of GS1: SGTIN-198')
      expect.match(await page.locator('.answer').textContent(), /GS1 EPC/, 'what kind of tag')
      await page.locator('#tag-memory').fill(await make(`${at.prefix}/PUMP-1`))
      await page.locator('#tag-id').fill('')
      await page.locator('#tag-memory').press('Enter')
      await page.waitForTimeout(100)
      await page.waitForFunction((id) => document.querySelector('.answer')?.textContent.includes(id), `${at.prefix}/PUMP-1`)
      await shot('tag')
    },
  },
]
