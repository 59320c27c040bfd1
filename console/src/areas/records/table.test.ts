import { deflateRawSync } from 'node:zlib'
import { describe, expect, it } from 'vitest'
import { cell, csv, day, decode, ndjson, NoTable, read, sheet, xlsx } from './table'

// 编号,名称 / A1,泵 as Excel saves it in China.
const gb = new Uint8Array([0xb1, 0xe0, 0xba, 0xc5, 0x2c, 0xc3, 0xfb, 0xb3, 0xc6, 0x0a, 0x41, 0x31, 0x2c, 0xb1, 0xc3])

describe('tables', () => {
  it('tells GB18030 from UTF-8', async () => {
    expect(decode(gb)).toEqual({ text: '编号,名称\nA1,泵', encoding: 'gb18030' })
    expect(decode(new TextEncoder().encode('编号')).encoding).toBe('utf-8')
    expect(await read('a.csv', gb)).toEqual({ columns: ['编号', '名称'], rows: [['A1', '泵']], encoding: 'gb18030' })
  })
  it('reads quotes, line ends within cells, and what separates', () => {
    expect(csv('\ufeffa;b\r\n"x;""y""\nz";2\r\n\r\n')).toEqual({ columns: ['a', 'b'], rows: [['x;"y"\nz', '2']] })
    expect(csv('a,\n1').columns).toEqual(['a', 'B'])
    expect(csv('a,b\n1').rows).toEqual([['1', '']])
    expect(() => csv('a,b\n"1,2')).toThrow(NoTable)
    expect(() => csv('a,b\n')).toThrow('empty')
  })
  it('reads lines of JSON', () => {
    expect(ndjson('{"a":1}\n{"b":"x","a":null}\n')).toEqual({ columns: ['a', 'b'], rows: [['1', ''], ['', 'x']] })
    expect(() => ndjson('[1]')).toThrow('json')
    expect(() => ndjson('{')).toThrow('json')
  })
  it('reads the cells of a sheet', () => {
    expect(day(45987)).toBe('2025-11-26')
    expect(sheet('<row r="1"><c r="A1" t="s"><v>0</v></c><c r="C1" t="inlineStr"><is><t>x &amp; y</t></is></c></row><row r="2"><c r="A2" s="1"><v>45987</v></c><c r="B2" t="b"><v>1</v></c></row>', ['名'], [false, true]))
      .toEqual([['名', '', 'x & y'], ['2025-11-26', 'true']])
  })
  it('reads a workbook', async () => {
    const book = zip({ 'xl/sharedStrings.xml': '<sst><si><t>编号</t></si><si><r><t>名</t></r><r><t>称</t></r></si></sst>', 'xl/worksheets/sheet1.xml': '<sheetData><row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row><row r="2"><c r="A2"><v>7</v></c><c r="B2" t="inlineStr"><is><t>泵</t></is></c></row></sheetData>' })
    expect(await xlsx(book)).toEqual({ columns: ['编号', '名称'], rows: [['7', '泵']] })
    await expect(xlsx(book.slice(0, 40))).rejects.toThrow('xlsx')
    await expect(read('x.xls', new Uint8Array([0xd0, 0xcf, 0x11, 0xe0]))).rejects.toThrow('xls')
  })
  it('writes cells that no spreadsheet computes', () => {
    expect(cell('=1+1')).toBe("'=1+1")
    expect(cell('-5')).toBe('-5')
    expect(cell('a"b')).toBe('"a""b"')
  })
})

function zip(files: Record<string, string>): Uint8Array {
  const parts: Buffer[] = []
  const list: Buffer[] = []
  let at = 0
  for (const [name, text] of Object.entries(files)) {
    const packed = deflateRawSync(Buffer.from(text))
    const local = Buffer.alloc(30)
    local.writeUInt32LE(0x04034b50, 0)
    local.writeUInt16LE(name.length, 26)
    const entry = Buffer.alloc(46)
    entry.writeUInt32LE(0x02014b50, 0)
    entry.writeUInt16LE(8, 10)
    entry.writeUInt32LE(packed.length, 20)
    entry.writeUInt16LE(name.length, 28)
    entry.writeUInt32LE(at, 42)
    list.push(entry, Buffer.from(name))
    parts.push(local, Buffer.from(name), packed)
    at += 30 + name.length + packed.length
  }
  const directory = Buffer.concat(list)
  const end = Buffer.alloc(22)
  end.writeUInt32LE(0x06054b50, 0)
  end.writeUInt16LE(Object.keys(files).length, 10)
  end.writeUInt32LE(at, 16)
  return new Uint8Array(Buffer.concat([...parts, directory, end]))
}
