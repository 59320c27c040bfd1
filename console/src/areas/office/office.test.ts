import { expect, it } from 'vitest'
import { make, pem } from './key'
import { acts, creditCode, number, states, tone, wrong, type Form } from './model'

it('knows a unified social credit code by its check character', () => {
  expect(creditCode('91350100M000100Y43')).toBe(true)
  for (let i = 0; i < 18; i++) {
    const s = '91350100M000100Y43'.split('')
    s[i] = s[i] === '7' ? '8' : '7'
    expect(creditCode(s.join(''))).toBe(false)
  }
  expect(creditCode('91350100M000100I43')).toBe(false)
  expect(creditCode('')).toBe(false)
})

const form = (x: Partial<Form> = {}): Form => ({ prefix: '88.608.2001', kind: 'hosted', key: 'x', organisation: { orgName: '厂', orgCrtType: 2, orgCrtCode: 'A1', contact: { name: '王', phone: '1' } }, ...x })
it('says which fields are wrong', () => {
  expect(wrong(form(), '88.608')).toEqual({})
  for (const p of ['88.608', '88.608.', '88.608.1.2', '88.609.1', '88.608.a', '88.6081']) expect(wrong(form({ prefix: p }), '88.608')).toEqual({ prefix: 'badPrefix' })
  expect(wrong(form({ organisation: { orgName: ' ', orgCrtType: 1, orgCrtCode: '91350100M000100Y44', website: 'javascript:x', contact: { name: '', email: 'x' } } }), '88.608')).toEqual({ orgName: 'needed', orgCrtCode: 'badCredit', website: 'badSite', contactName: 'needed', contactEmail: 'badEmail' })
})

it('offers what can be done, to whom it is for', () => {
  expect(acts('submitted', true, false).map((a) => a.name)).toEqual(['review', 'approve', 'refuse'])
  expect(acts('submitted', false, true).map((a) => a.name)).toEqual(['withdraw'])
  expect(acts('submitted', false, false)).toEqual([])
  for (const s of states) for (const a of acts(s, true, true)) if (a.kind === 'danger') expect(a.reason).toBe(true)
  for (const s of states) expect(tone(s).mark).not.toBe('')
  expect(number('88.118/APPLY_000017')).toBe('000017')
})

it('makes a key that signs, and tells its public half', async () => {
  const k = await make()
  expect(k.private).toMatch(/^-----BEGIN PRIVATE KEY-----\n[A-Za-z0-9+/=\n]+\n-----END PRIVATE KEY-----\n$/)
  const jws = await k.sign({ a: '符' })
  const [head, body, sig] = jws.split('.') as [string, string, string]
  const raw = (s: string) => Uint8Array.from(atob(s.replace(/-/g, '+').replace(/_/g, '/')), (c) => c.charCodeAt(0))
  const der = raw(atob(k.public).replace(/-----[^-]+-----|\n/g, ''))
  const key = await crypto.subtle.importKey('spki', der, { name: 'ECDSA', namedCurve: 'P-256' }, false, ['verify'])
  expect(await crypto.subtle.verify({ name: 'ECDSA', hash: 'SHA-256' }, key, raw(sig), new TextEncoder().encode(head + '.' + body))).toBe(true)
  expect(JSON.parse(new TextDecoder().decode(raw(body)))).toEqual({ a: '符' })
  expect(k.public).not.toContain(btoa(k.private).slice(60, 100))
  expect(pem('X', new Uint8Array(100).buffer).split('\n').every((l) => l.length <= 64)).toBe(true)
})
