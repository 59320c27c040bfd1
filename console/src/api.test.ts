import { afterEach, expect, test, vi } from 'vitest'
import { get } from './api'

afterEach(() => {
  vi.unstubAllGlobals()
  delete window.early
})

const answer = (x: object) => new Response(JSON.stringify(x), { headers: { 'Content-Type': 'application/json' } })

test('what was asked early is taken once, and asked again when it did not come', async () => {
  const asked = vi.fn(async () => answer({ name: 'later' }))
  vi.stubGlobal('fetch', asked)
  window.early = { '/api/node': Promise.resolve(answer({ name: 'early' })), '/api/me': Promise.resolve(undefined) }
  expect(await get('/api/node')).toEqual({ name: 'early' })
  expect(asked).toHaveBeenCalledTimes(0)
  expect(await get('/api/node')).toEqual({ name: 'later' })
  expect(await get('/api/me')).toEqual({ name: 'later' })
  expect(asked).toHaveBeenCalledTimes(2)
})

test('an early answer is for that address alone, and a refusal stays one', async () => {
  vi.stubGlobal('fetch', async () => answer({ other: true }))
  window.early = { '/api/me': Promise.resolve(new Response('{"title":"Unauthorized","status":401,"detail":"log in first"}', { status: 401, headers: { 'Content-Type': 'application/problem+json' } })) }
  expect(await get('/api/me', { a: 1 })).toEqual({ other: true })
  await expect(get('/api/me')).rejects.toMatchObject({ status: 401 })
})
