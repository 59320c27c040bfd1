import type { VitePWAOptions } from 'vite-plugin-pwa'

/**
 * What makes the console an application of the phone: it opens without network, since its program is kept on the device. What the node answers
 * is never kept by it: an answer of yesterday about who may do what would be worse than none.
 */
export const pwa: Partial<VitePWAOptions> = {
  registerType: 'autoUpdate',
  manifest: {
    id: '/console/', name: '符节 Fujie', short_name: '符节', lang: 'zh-CN', description: '扫码、任务与离线作业 Scanning and tasks, without network too', start_url: '/console/#/phone', scope: '/console/', display: 'standalone', orientation: 'any',
    theme_color: '#1d4ed8', background_color: '#ffffff', categories: ['business', 'productivity'],
    icons: [
      { src: 'icon.svg', sizes: 'any', type: 'image/svg+xml' },
      { src: 'icon-192.png', sizes: '192x192', type: 'image/png' },
      { src: 'icon-512.png', sizes: '512x512', type: 'image/png' },
      { src: 'icon-maskable-512.png', sizes: '512x512', type: 'image/png', purpose: 'maskable' },
    ],
    shortcuts: [
      { name: '扫码 Scan', url: '/console/#/phone/scan', icons: [{ src: 'icon-192.png', sizes: '192x192', type: 'image/png' }] },
      { name: '任务 Tasks', url: '/console/#/phone/tasks', icons: [{ src: 'icon-192.png', sizes: '192x192', type: 'image/png' }] },
    ],
  },
  workbox: {
    globPatterns: ['**/*.{js,css,html,svg,png,wasm}'],
    // Charts and graphs are for the desk: a phone at a line does not load them ahead.
    globIgnores: ['**/{echarts,cytoscape,charts,installCanvasRenderer,graph}-*.js'],
    maximumFileSizeToCacheInBytes: 4_000_000,
    navigateFallback: '/console/index.html',
    navigateFallbackAllowlist: [/^\/console\//],
    cleanupOutdatedCaches: true,
    runtimeCaching: [
      // Their names say what is in them: once loaded they are good for ever.
      { urlPattern: ({ url, sameOrigin }) => sameOrigin && url.pathname.startsWith('/console/assets/'), handler: 'CacheFirst', options: { cacheName: 'assets', expiration: { maxEntries: 200 }, cacheableResponse: { statuses: [200] } } },
    ],
  },
}
