// Reads symbols away from the screen's thread, so that a button answers while a picture is searched.
import { prepareZXingModule, readBarcodes, type ReaderOptions } from 'zxing-wasm/reader'
import wasm from 'zxing-wasm/reader/zxing_reader.wasm?url'

export interface Ask {
  no: number
  image: ImageData
  /** Search longer: rotated, inverted and small symbols. */
  hard: boolean
}

export interface Found {
  text: string
  format: string
  symbology: string
  /** Corners in the picture's pixels, clockwise from the upper left. */
  corners: [number, number][]
}

export interface Told {
  no: number
  found: Found[]
  error?: string
}

// The program that reads comes from this node like the page itself: no other site is asked.
prepareZXingModule({ overrides: { locateFile: (path: string, prefix: string) => (path.endsWith('.wasm') ? wasm : prefix + path) } })

const formats: ReaderOptions['formats'] = ['QRCode', 'MicroQRCode', 'RMQRCode', 'DataMatrix', 'Aztec', 'PDF417', 'MicroPDF417', 'Code128', 'Code39', 'ITF', 'EAN13', 'EAN8', 'UPCA', 'UPCE', 'DataBar', 'DataBarLtd', 'DataBarExp', 'DataBarExpStk', 'DataBarStk', 'DataBarStkOmni']

addEventListener('message', async (e: MessageEvent<Ask>) => {
  const { no, image, hard } = e.data
  const answer: Told = { no, found: [] }
  try {
    const list = await readBarcodes(image, { formats, textMode: 'Plain', maxNumberOfSymbols: 4, tryHarder: hard, tryRotate: true, tryInvert: hard, tryDownscale: true, tryDenoise: false })
    answer.found = list
      .filter((x) => x.isValid && x.text)
      .map((x) => ({
        text: x.text,
        format: x.format,
        symbology: x.symbologyIdentifier,
        corners: [x.position.topLeft, x.position.topRight, x.position.bottomRight, x.position.bottomLeft].map((p) => [p.x, p.y] as [number, number]),
      }))
  } catch (x) {
    answer.error = x instanceof Error ? x.message : String(x)
  }
  postMessage(answer)
})
