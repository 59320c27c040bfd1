import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [{ path: '/situation', component: () => import('./Situation.vue'), meta: { title: 'situation.title' } }],
  menu: [{ path: '/situation', title: 'situation.menu', icon: 'DataBoard', order: 5, group: 'operate', needs: '/api/situation', roles: ['operator', 'reviewer', 'auditor', 'regulator'] }],
  words,
}
export default area
