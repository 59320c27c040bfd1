import { watch } from 'vue'
import type { Area } from '@/area'
import { node, type NodeInfo } from '@/node'
import { me, type Me } from '@/session'
import { en, zh } from './words'

// A phone that begins without network still knows who holds it and whose node it works for; what they may do the node decides when it is back.
const shelf = 'fujie.phone.last'
try {
  const kept = location.hash.startsWith('#/phone') ? (JSON.parse(localStorage.getItem(shelf) ?? 'null') as { node: Omit<NodeInfo, 'serves'>; me: Me } | null) : null
  if (kept?.node && kept.me) {
    const doors = new Set(kept.node.doors)
    node.value = { ...kept.node, serves: (p) => doors.has(p) }
    me.value = kept.me
  }
} catch {
  // Nothing was kept.
}
watch([node, me], ([n, m]) => {
  if (n.name && m) localStorage.setItem(shelf, JSON.stringify({ node: { ...n, serves: undefined }, me: { ...m, account: undefined } }))
  else if (!m) localStorage.removeItem(shelf)
})

// A page that was open while the node got a new version asks for files that are no longer there: it begins anew, once.
addEventListener('vite:preloadError', (e) => {
  const last = Number(sessionStorage.getItem('fujie.reloaded') ?? 0)
  if (!navigator.onLine || Date.now() - last < 60_000) return
  e.preventDefault()
  sessionStorage.setItem('fujie.reloaded', String(Date.now()))
  location.reload()
})

export default {
  routes: [
    { path: '/phone', component: () => import('./Start.vue'), meta: { public: true, phone: true, title: 'phone.title' } },
    { path: '/phone/scan', component: () => import('./Scan.vue'), meta: { phone: true, title: 'phone.scan.title' } },
    { path: '/phone/look', component: () => import('./Look.vue'), meta: { public: true, phone: true, title: 'phone.look.title' } },
    { path: '/phone/tasks', component: () => import('./Tasks.vue'), meta: { phone: true, title: 'phone.tasks.title' } },
    { path: '/phone/queue', component: () => import('./Waiting.vue'), meta: { phone: true, title: 'phone.queue.title' } },
    { path: '/phone/settings', component: () => import('./Settings.vue'), meta: { public: true, phone: true, title: 'phone.settings.title' } },
  ],
  menu: [{ path: '/phone', title: 'phone.menu', icon: 'Iphone', order: 20, group: 'work', needs: '/api/flows' }],
  words: { zh, en },
} satisfies Area
