import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [
    { path: '/market', component: () => import('./Market.vue'), meta: { title: 'market.title' } },
    { path: '/market/own', component: () => import('./Own.vue'), meta: { title: 'market.ownTitle' } },
    { path: '/market/:name', component: () => import('./Solution.vue'), meta: { title: 'market.title' } },
  ],
  menu: [{ path: '/market', title: 'market.menu', icon: 'Shop', order: 60, group: 'operate', needs: '/api/solutions', roles: ['operator', 'enterprise-admin', 'auditor'] }],
  words,
}
export default area
