import { describe, expect, it } from 'vitest'
import { checked, elements, meaning } from './code'

const GS = '\x1d'

describe('meaning', () => {
  it.each([
    ['88.118.1001/PUMP-1', '88.118.1001/PUMP-1'],
    ['88.118.1001/PUMP-1\r\n', '88.118.1001/PUMP-1'],
    ['https://id.example.cn/88.118.1001/PUMP-1', '88.118.1001/PUMP-1'],
    ['https://id.example.cn/88.118.1001/%E6%B3%B5%201?x=1#y', '88.118.1001/泵 1'],
    ['https://id.example.cn/01/09521234543213/21/A1', 'https://id.example.cn/01/09521234543213/21/A1'],
    ['https://id.example.cn/%', 'https://id.example.cn/%'],
    ['hdl:88.118.1001/X', 'hdl:88.118.1001/X'],
    ['(01)09521234543213(21)A1', '(01)09521234543213(21)A1'],
    ['010952123454321321A1', '(01)09521234543213(21)A1'],
    ['0109521234543214' + '21A1', '010952123454321421A1'],
    [`010952123454321310LOT7${GS}21A1`, '(01)09521234543213(10)LOT7(21)A1'],
    [`]d2010952123454321310LOT7${GS}21A1`, '(01)09521234543213(10)LOT7(21)A1'],
    [']C100095212345432132103', '(00)095212345432132103'],
    ['PART-7', 'PART-7'],
    ['', ''],
  ])('%j is %j', (text, want) => expect(meaning({ text })).toBe(want))

  it('uses what the reader says of the symbology', () => {
    expect(meaning({ text: `${GS}010952123454321317271231` , format: 'DataMatrix', symbology: ']d2' })).toBe('(01)09521234543213(17)271231')
    expect(meaning({ text: '6901234567892', format: 'EAN13', symbology: ']E0' })).toBe('(01)06901234567892')
    expect(meaning({ text: '6901234567891', format: 'EAN13', symbology: ']E0' })).toBe('6901234567891')
    expect(meaning({ text: '88.118.1001/A', format: 'Code128', symbology: ']C0' })).toBe('88.118.1001/A')
  })
})

describe('elements', () => {
  it.each([
    ['00095212345432132103', '(00)095212345432132103'],
    ['0109521234543213310300125021A(1', '(01)09521234543213(3103)001250(21)A\\(1'],
    [`8006095212345432130102${GS}10X`, '(8006)095212345432130102(10)X'],
    [`01095212345432132112${GS}${GS}`, undefined],
    ['0109', undefined],
    ['99', undefined],
    ['hello', undefined],
    ['', undefined],
  ])('%j is %j', (raw, want) => expect(elements(raw)).toBe(want))
})

it('checks check digits', () => {
  expect(checked('09521234543213')).toBe(true)
  expect(checked('09521234543214')).toBe(false)
  expect(checked('12')).toBe(false)
})
