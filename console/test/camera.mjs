// What a camera would see: a film for Chromium's fake camera, made of the pictures of codes that a node draws. Y4M is raw pictures one behind
// the other, and PNG is zlib with five filters: neither needs another program.
import { writeFileSync } from 'node:fs'
import { inflateSync } from 'node:zlib'

/** png reads a picture: its size, and how light each dot is, 0 to 255. */
export function png(file) {
  if (file.readUInt32BE(0) !== 0x89504e47) throw new Error('no PNG')
  let at = 8
  let head
  let palette
  const data = []
  while (at < file.length) {
    const length = file.readUInt32BE(at)
    const kind = file.toString('latin1', at + 4, at + 8)
    const body = file.subarray(at + 8, at + 8 + length)
    if (kind === 'IHDR') head = { width: body.readUInt32BE(0), height: body.readUInt32BE(4), depth: body[8], color: body[9], interlaced: body[12] }
    if (kind === 'PLTE') palette = body
    if (kind === 'IDAT') data.push(body)
    at += length + 12
  }
  if (head.interlaced || head.depth > 8) throw new Error('a PNG that is interlaced, or of 16 bits')
  const samples = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }[head.color]
  const bits = samples * head.depth
  const step = Math.max(1, bits >> 3)
  const stride = Math.ceil((head.width * bits) / 8)
  const raw = inflateSync(Buffer.concat(data))
  const light = new Uint8Array(head.width * head.height)
  let before = Buffer.alloc(stride)
  for (let y = 0; y < head.height; y++) {
    const filter = raw[y * (stride + 1)]
    const row = Buffer.from(raw.subarray(y * (stride + 1) + 1, (y + 1) * (stride + 1)))
    for (let i = 0; i < stride; i++) {
      const a = i >= step ? row[i - step] : 0
      const b = before[i]
      const c = i >= step ? before[i - step] : 0
      const p = a + b - c
      const near = Math.abs(p - a) <= Math.abs(p - b) && Math.abs(p - a) <= Math.abs(p - c) ? a : Math.abs(p - b) <= Math.abs(p - c) ? b : c
      row[i] = (row[i] + [0, a, b, (a + b) >> 1, near][filter]) & 255
    }
    for (let x = 0; x < head.width; x++) {
      let v
      if (head.depth < 8) {
        const n = (row[(x * head.depth) >> 3] >> (8 - head.depth - ((x * head.depth) & 7))) & ((1 << head.depth) - 1)
        v = palette ? palette[n * 3] : Math.round((n * 255) / ((1 << head.depth) - 1))
      } else {
        const s = row.subarray(x * samples)
        v = palette ? palette[s[0] * 3] : samples >= 3 ? (s[0] * 3 + s[1] * 6 + s[2]) / 10 : s[0]
        const clear = samples === 4 ? s[3] : samples === 2 ? s[1] : 255
        v = (v * clear + 255 * (255 - clear)) / 255
      }
      light[y * head.width + x] = v
    }
    before = row
  }
  return { width: head.width, height: head.height, light }
}

/**
 * film writes a Y4M of pictures, each shown for so many frames with nothing but the table between them; Chromium shows it over and over.
 * shots: [{picture: png(…) or undefined for the bare table, frames: 10, turn: 0, scale: 0.6}]
 */
export function film(path, shots, { width = 640, height = 480, rate = 10 } = {}) {
  const parts = [Buffer.from(`YUV4MPEG2 W${width} H${height} F${rate}:1 Ip A1:1 C420jpeg\n`)]
  const frame = Buffer.from('FRAME\n')
  const colour = Buffer.alloc((width * height) / 2, 128)
  for (const { picture, frames = 10, turn = 0, scale = 0.7 } of shots) {
    const y = Buffer.alloc(width * height, 205)
    if (picture) {
      // The largest that fits, shrunk by scale, turned by so many degrees: a label on a table, not a drawing.
      const k = (Math.min(width / picture.width, height / picture.height) * scale)
      const sin = Math.sin((turn * Math.PI) / 180)
      const cos = Math.cos((turn * Math.PI) / 180)
      for (let v = 0; v < height; v++) for (let u = 0; u < width; u++) {
        const dx = (u - width / 2) / k
        const dy = (v - height / 2) / k
        const px = Math.floor(dx * cos + dy * sin + picture.width / 2)
        const py = Math.floor(-dx * sin + dy * cos + picture.height / 2)
        if (px >= 0 && py >= 0 && px < picture.width && py < picture.height) y[v * width + u] = 20 + (picture.light[py * picture.width + px] * 225) / 255
      }
    }
    for (let i = 0; i < frames; i++) parts.push(frame, y, colour)
  }
  writeFileSync(path, Buffer.concat(parts))
  return path
}

/** symbol is a picture of a code, drawn by the node's own labels. */
export async function symbol(api, kind, data, size = [30, 30]) {
  const a = await api.post('/api/label-previews', {
    design: { label: 'camera', width: size[0], height: size[1], elements: [{ type: 'symbol', x: 1, y: 1, width: size[0] - 2, height: size[1] - 2, symbol: kind, data }] }, fields: {}, format: 'png', dpi: 300,
  })
  if (a.status !== 200) throw new Error(`drawing a ${kind}: ${a.status} ${a.text.slice(0, 300)}`)
  return png(a.raw)
}
