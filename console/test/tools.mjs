// What journeys share: a plain client of a node's interface, and checks that say what was wanted.
import { request } from 'node:https'

/** api speaks to a node as its administrator, beside the browser: to prepare, and to look whether something really happened. */
export function api(at, country) {
  let cookie
  const send = (method, path, body) =>
    new Promise((resolve, reject) => {
      const payload = body === undefined ? undefined : Buffer.from(typeof body === 'string' ? body : JSON.stringify(body))
      const u = new URL(path, at.https)
      const r = request(u, {
        method, rejectUnauthorized: false,
        headers: { Accept: 'application/json', ...(payload && { 'Content-Type': 'application/json', 'Content-Length': payload.length }), ...(cookie && { Cookie: cookie }) },
      }, (res) => {
        const parts = []
        res.on('data', (d) => parts.push(d))
        res.on('end', () => {
          const raw = Buffer.concat(parts)
          const text = raw.toString('utf8')
          let json
          try { json = text ? JSON.parse(text) : undefined } catch { json = undefined }
          resolve({ status: res.statusCode, headers: res.headers, text, json, raw })
        })
      })
      r.on('error', reject)
      r.end(payload)
    })
  const ask = async (method, path, body) => {
    if (!cookie) {
      const a = await send('POST', '/api/login', { user: 'admin', password: country.console_password, cookie: true })
      if (a.status !== 200) throw new Error(`log-in at ${at.name}: ${a.status} ${a.text}`)
      cookie = a.headers['set-cookie'][0].split(';')[0]
    }
    return send(method, path, body)
  }
  return {
    get: (p) => ask('GET', p), post: (p, b) => ask('POST', p, b), put: (p, b) => ask('PUT', p, b), patch: (p, b) => ask('PATCH', p, b), del: (p) => ask('DELETE', p),
    /** as must succeed. */
    async must(method, p, b) {
      const a = await ask(method, p, b)
      if (a.status < 200 || a.status > 299) throw new Error(`${method} ${p}: ${a.status} ${a.text}`)
      return a.json
    },
  }
}

function fail(what, got, wanted) {
  throw new Error(`${what}: got ${JSON.stringify(got)}, wanted ${JSON.stringify(wanted)}`)
}

/** Checks with a sentence. */
export const expect = {
  equal(got, wanted, what = 'value') { if (got !== wanted) fail(what, got, wanted) },
  ok(got, what) { if (!got) fail(what, got, true) },
  match(got, re, what = 'text') { if (!re.test(String(got))) fail(what, got, String(re)) },
  atLeast(got, wanted, what = 'count') { if (!(got >= wanted)) fail(what, got, '>= ' + wanted) },
  async visible(locator, what = String(locator)) {
    try { await locator.first().waitFor({ state: 'visible' }) } catch { fail(what, 'not to be seen', 'visible') }
  },
}
