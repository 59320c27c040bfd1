import type { Area } from '@/area'
import { words } from './words'

const watchers = ['operator', 'auditor', 'regulator'] as const
const area: Area = {
  routes: [
    { path: '/operate', component: () => import('./Node.vue'), meta: { title: 'operate.node' } },
    { path: '/operate/ledger', component: () => import('./Ledger.vue'), meta: { title: 'operate.ledger' } },
    { path: '/operate/reports', component: () => import('./Reports.vue'), meta: { title: 'operate.reports' } },
    { path: '/operate/reports/:node/:table/:seq', component: () => import('./Report.vue'), meta: { title: 'operate.reports' } },
    { path: '/operate/levels', component: () => import('./Levels.vue'), meta: { title: 'operate.levels' } },
  ],
  menu: [
    { path: '/operate', title: 'operate.nodeMenu', icon: 'Monitor', order: 70, group: 'operate', needs: '/api/meter', roles: [...watchers, 'enterprise-admin'] },
    { path: '/operate/ledger', title: 'operate.ledgerMenu', icon: 'Notebook', order: 80, group: 'operate', needs: '/api/ledger', roles: [...watchers, 'enterprise-admin'] },
    { path: '/operate/reports', title: 'operate.reportsMenu', icon: 'Files', order: 50, group: 'operate', needs: '/api/reports', roles: [...watchers] },
    { path: '/operate/levels', title: 'operate.levelsMenu', icon: 'Odometer', order: 55, group: 'operate', needs: '/api/service-levels', roles: [...watchers] },
  ],
  words,
}
export default area
