import { expect, it } from 'vitest'
import { account, endOfDay, open, paper, partner, targetOf, tone } from './model'

it('writes the paths of accounts and papers', () => {
  expect(account('users', '88.118/User_li')).toBe('/api/users/88.118/li')
  expect(account('groups', '88.118/GROUP_PARTNERS')).toBe('/api/groups/88.118/PARTNERS')
  expect(account('apps', '88.118/App_a b')).toBe('/api/apps/88.118/a%20b')
  expect(paper('access-requests', '88.118/REQUEST_000001')).toBe('/api/access-requests/88.118/000001')
})
it('reads what a grant is about', () => {
  expect(targetOf('id', ' 88.118/X ', '')).toEqual({ id: '88.118/X' })
  expect(targetOf('template', '88.118/META_P', 'cost， price;date')).toEqual({ template: '88.118/META_P', items: ['cost', 'price', 'date'] })
})
it.each([['88.118', true], ['88.118/User_li', true], ['li', false], ['', false], ['88.118/a b', false]])('%s names somebody: %s', (s, ok) => expect(partner(s)).toBe(ok))
it('ends at the end of a day', () => {
  expect(new Date(endOfDay('2026-12-31')!).getTime()).toBe(new Date(2026, 11, 31, 23, 59, 59).getTime())
  expect(endOfDay('')).toBeUndefined()
  expect(endOfDay('2026-13-40')).toBeUndefined()
})
it('knows what is still to be decided', () => {
  for (const s of ['granted', 'refused', 'withdrawn', 'ended']) expect(open(s)).toBe(false)
  expect(open('open')).toBe(true)
  expect(tone('refused').cls).toBe('bad')
})
