// What a browser does while the application is still on its way to it: a small script asks the node who it is and who is here, and sends for the parts of the screen that was asked for.
// Without it each of these would begin only when everything before had come and been run.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { brotliCompressSync, constants } from 'node:zlib'
import type { Plugin } from 'vite'

/** The first screens, and the files that they begin with. */
const screens: Record<string, string> = { '/': 'src/pages/Home.vue', '/login': 'src/pages/Login.vue', '/phone': 'src/areas/phone/Start.vue' }

/** What src/api.ts takes. */
const asked = ['/api/node', '/api/me']

function script(parts: Record<string, string[]>): string {
  return `window.early = {}
for (const path of ${JSON.stringify(asked)}) window.early[path] = fetch(path, { headers: { Accept: 'application/json' }, credentials: 'same-origin' }).catch(() => undefined)
for (const name of ${JSON.stringify(parts)}[location.hash.replace(/^#|[?].*/g, '') || '/'] ?? []) {
  const link = document.createElement('link')
  link.rel = name.endsWith('.css') ? 'preload' : 'modulepreload'
  if (name.endsWith('.css')) link.as = 'style'
  link.crossOrigin = ''
  link.href = '/console/' + name
  document.head.append(link)
}
`
}

export function early(): Plugin {
  return {
    name: 'early',
    apply: 'build',
    enforce: 'post',
    transformIndexHtml: () => [{ tag: 'script', attrs: { src: '/console/early.js', async: true, fetchpriority: 'high' }, injectTo: 'head-prepend' }],
    generateBundle(_, bundle) {
      const parts: Record<string, string[]> = {}
      const chunks = Object.values(bundle).filter((c) => c.type === 'chunk')
      const entry = chunks.find((c) => c.isEntry)
      if (!entry) this.error('the application has no beginning')
      const with_ = (name: string, all: Set<string>) => {
        const c = chunks.find((x) => x.fileName === name)
        if (!c || all.has(name)) return all
        all.add(name)
        for (const css of c.viteMetadata?.importedCss ?? []) all.add(css)
        for (const i of c.imports) with_(i, all)
        return all
      }
      const there = with_(entry.fileName, new Set())
      for (const [route, file] of Object.entries(screens)) {
        const c = chunks.find((x) => x.facadeModuleId?.endsWith('/' + file))
        if (!c) this.error('there is no ' + file)
        parts[route] = [...with_(c.fileName, new Set())].filter((n) => !there.has(n))
      }
      this.emitFile({ type: 'asset', fileName: 'early.js', source: script(parts) })
    },
  }
}

/** pressed writes beside each file that gets smaller by it a .br, which the node gives to browsers that take it. */
export function pressed(): Plugin {
  let dir = ''
  return {
    name: 'pressed',
    apply: 'build',
    enforce: 'post',
    configResolved(c) {
      dir = path.resolve(c.root, c.build.outDir)
    },
    closeBundle: {
      order: 'post',
      sequential: true,
      handler() {
        for (const name of readdirSync(dir, { recursive: true, encoding: 'utf8' })) {
          if (!/\.(js|css|html|svg|wasm|webmanifest)$/.test(name)) continue
          const plain = readFileSync(path.join(dir, name))
          const small = brotliCompressSync(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length } })
          if (small.length < plain.length * 0.9) writeFileSync(path.join(dir, name + '.br'), small)
        }
      },
    },
  }
}
