import { expect, it } from 'vitest'
import { change } from './change'

it('reads who changed a record, and what cannot be read as nothing', () => {
  expect(change({ entry: 7, line: '{"seq":7,"time":"2026-11-23T12:35:34.050Z","op":"create"}', opened: [{ name: 'by', value: btoa('301:88.1/USER_LI') }] }))
    .toEqual({ entry: 7, time: '2026-11-23T12:35:34.050Z', op: 'create', by: '88.1/USER_LI' })
  expect(change({ entry: 7, line: '{"time":"x","op":"delete"}', opened: null })?.by).toBeUndefined()
  expect(change({ entry: 7 })).toBeNull()
  expect(change({ entry: 7, line: 'null' })).toBeNull()
})
