import { fileURLToPath, URL } from 'node:url'
import vue from '@vitejs/plugin-vue'
import { ElementPlusResolver } from 'unplugin-vue-components/resolvers'
import components from 'unplugin-vue-components/vite'
import { defineConfig, type PluginOption } from 'vite'
import { VitePWA } from 'vite-plugin-pwa'
import { early, pressed } from './early'
import { pwa } from './src/areas/phone/pwa'

// VITE_NODE=https://127.0.0.1:8443 npx vite: screens as they are written, data of a running node.
const node = process.env.VITE_NODE
const doors = ['/api', '/openapi.json', '/ledger', '/capture', '/events', '/eventTypes', '/epcs', '/bizSteps', '/bizLocations', '/readPoints', '/dispositions', '/queries', '/vocabularies', '/epcis']

export default defineConfig({
  base: '/console/',
  plugins: [
    vue(),
    components({ dts: false, dirs: ['src/parts'], resolvers: [ElementPlusResolver()] }),
    early(),
    VitePWA(pwa),
    pressed(),
  ] as PluginOption[],
  // What nobody here uses of vue-i18n and would come with every first screen.
  define: { __VUE_I18N_LEGACY_API__: 'false', __INTLIFY_PROD_DEVTOOLS__: 'false', __VUE_PROD_DEVTOOLS__: 'false' },
  resolve: { alias: { '@': fileURLToPath(new URL('./src', import.meta.url)) } },
  server: node ? { proxy: Object.fromEntries(doors.map((d) => [d, { target: node, secure: false, changeOrigin: true }])) } : undefined,
  build: { target: 'es2022', assetsInlineLimit: 0, chunkSizeWarningLimit: 1500, reportCompressedSize: false },
  worker: { format: 'es' },
  // The journeys in test/ drive a browser; these are the tests of the parts.
  test: { environment: 'jsdom', include: ['src/**/*.test.ts'] },
} as Parameters<typeof defineConfig>[0])
