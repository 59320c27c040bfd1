import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [
    { path: '/figures', component: () => import('./Figures.vue'), meta: { title: 'figures.title' } },
    { path: '/figures/:solution/:name', component: () => import('./FigurePage.vue'), meta: { title: 'figures.one' } },
  ],
  menu: [{ path: '/figures', title: 'figures.menu', icon: 'TrendCharts', order: 60, group: 'data', needs: '/api/indicators', roles: ['operator', 'enterprise-admin', 'enterprise-user', 'auditor', 'regulator'] }],
  words,
}
export default area
