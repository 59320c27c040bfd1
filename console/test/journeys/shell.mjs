const hostile = '<img src=x onerror="window.__xss=1">'

export default [
  {
    name: 'public', node: 'food-liquor', themes: ['light', 'dark'], langs: ['zh', 'en'],
    async run({ page, go, shot, expect, lang }) {
      await go('/')
      await expect.visible(page.locator('h1'))
      await shot('home')
      expect.equal(await page.locator('html').getAttribute('lang'), lang === 'zh' ? 'zh-CN' : 'en', 'language of the page')
      // The keyboard: the first stop skips to the content.
      await page.keyboard.press('Tab')
      expect.equal(await page.evaluate(() => document.activeElement?.className), 'skip', 'first stop of the keyboard')
      await go('/account')
      await page.waitForFunction(() => location.hash.startsWith('#/login'))
      await shot('login')
    },
  },
  {
    name: 'login', node: 'food-liquor', langs: ['zh', 'en'], themes: ['light', 'dark'], user: 'admin',
    async run({ page, go, shot, expect, context }) {
      await expect.visible(page.locator('.cards .start'))
      await shot('home')
      await go('/account')
      await expect.visible(page.locator('.card'))
      await shot('account')
      // No script can read the session.
      expect.equal(await page.evaluate(() => document.cookie), '', 'cookies that scripts see')
      const kept = (await context.cookies()).find((c) => c.name.startsWith('fujie-'))
      expect.ok(kept && kept.httpOnly && kept.secure && kept.sameSite === 'Strict', 'the session is kept from scripts and other sites')
      expect.equal(await page.evaluate(() => Object.keys({ ...localStorage, ...sessionStorage }).filter((k) => /token|session/i.test(k)).length), 0, 'tokens in storage')
    },
  },
  {
    name: 'wrong-password', node: 'food-liquor', errors: true,
    async run({ page, go, shot, expect }) {
      await go('/login')
      await page.locator('#user').fill('nobody-' + Math.floor(Math.random() * 1e9))
      await page.locator('#password').fill('not the password')
      await page.locator('form button[type=submit]').click()
      await expect.visible(page.locator('.fault'))
      await shot('refused')
    },
  },
  {
    // A page of another origin makes the browser of somebody who is logged in send things.
    name: 'other-sites', node: 'food-liquor', user: 'admin', errors: true,
    async run({ page, at, country, context, expect, api }) {
      const other = country.nodes.find((n) => n.name === 'cold-importer')
      const evil = await context.newPage()
      await evil.goto(other.https + '/robots.txt')
      const name = 'csrf' + Math.floor(Math.random() * 1e9)
      const tried = await evil.evaluate(async ({ to, name }) => {
        const r = []
        for (const type of ['application/json', 'text/plain']) {
          try {
            r.push((await fetch(to + '/api/groups', { method: 'POST', mode: 'no-cors', credentials: 'include', headers: { 'Content-Type': type }, body: JSON.stringify({ name }) })).type)
          } catch (e) { r.push(String(e)) }
        }
        try { r.push(await (await fetch(to + '/api/me', { credentials: 'include' })).text()) } catch (e) { r.push('not readable') }
        return r
      }, { to: at.https, name })
      expect.ok(!JSON.stringify(tried).includes('USER_ADMIN'), 'another origin learns who is logged in')
      const groups = await api.must('GET', '/api/groups')
      expect.ok(!groups.items.some((g) => g.id.toLowerCase().includes(name)), 'another origin made a group')
      // The same from the console's own page works, so that the check above means something.
      const own = await page.evaluate(async (name) => (await fetch('/api/groups', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify({ name }) })).status, name)
      expect.equal(own, 201, 'the console itself')
      await api.del(`/api/groups/${at.prefix}/${name}`)
      // No frame around it.
      const framed = await evil.evaluate((to) => new Promise((done) => {
        const f = document.createElement('iframe')
        f.src = to
        f.onload = () => done(f.contentDocument === null)
        document.body.append(f)
        setTimeout(() => done(true), 3000)
      }), at.https + '/console/')
      expect.ok(framed, 'a frame that can be read')
    },
  },
  {
    // A copied session ends with its owner's log-out everywhere.
    name: 'stolen-session', node: 'food-liquor', user: 'li',
    async run({ page, context, browser, base, expect }) {
      const cookies = await context.cookies()
      const thief = await browser.newContext({ ignoreHTTPSErrors: true })
      await thief.addCookies(cookies)
      const there = await thief.newPage()
      await there.goto(base)
      expect.equal(await there.evaluate(async () => (await fetch('/api/me')).status), 200, 'the copy works at first')
      await page.goto(base + '#/account')
      await page.locator('.page-head .actions button').first().click()
      await page.waitForFunction(() => location.hash.startsWith('#/login'))
      expect.equal(await there.evaluate(async () => (await fetch('/api/me')).status), 401, 'the copy after the owner ended all sessions')
    },
  },
  {
    name: 'small-screen', node: 'food-liquor', user: 'admin', viewport: { width: 390, height: 844 }, touch: true, langs: ['zh', 'en'],
    async run({ page, shot, expect }) {
      await shot('home')
      await page.locator('.burger').click()
      await expect.visible(page.locator('.side'))
      await page.waitForTimeout(250)
      await shot('menu')
      const wide = await page.evaluate(() => document.documentElement.scrollWidth)
      expect.ok(wide <= 390, `the page is ${wide} wide`)
    },
  },
  {
    // What another enterprise writes is text, whatever it looks like.
    name: 'hostile-words', node: 'food-liquor', user: 'admin',
    async run({ page, go, api, at, expect }) {
      const name = at.prefix + '/XSS-PROBE'
      await api.must('PUT', `/api/handles/${name}?overwrite=true`, { values: [{ index: 2000, type: 'title', data: { format: 'string', value: hostile } }, { index: 2001, type: 'URL', data: { format: 'string', value: 'javascript:window.__xss=1' } }] })
      await go('/records/' + name)
      await expect.visible(page.getByText(hostile, { exact: false }).first(), 'the words themselves')
      expect.equal(await page.evaluate(() => window.__xss), undefined, 'a script of theirs ran')
      expect.equal(await page.locator('a[href^="javascript:"]').count(), 0, 'links that are scripts')
      await api.del('/api/handles/' + name)
    },
  },
]
