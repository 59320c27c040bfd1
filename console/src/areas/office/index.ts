import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [
    { path: '/office', component: () => import('./List.vue'), meta: { title: 'office.title' } },
    { path: '/office/prefixes', component: () => import('./Prefixes.vue'), meta: { title: 'office.prefixes' } },
    { path: '/office/organisations', component: () => import('./Organisations.vue'), meta: { title: 'office.orgs' } },
    { path: '/office/apply', component: () => import('./Apply.vue'), meta: { public: true, title: 'office.applyTitle' } },
    { path: '/office/applications/:no', component: () => import('./Show.vue'), meta: { title: 'office.title' } },
  ],
  menu: [
    { path: '/office/apply', title: 'office.applyMenu', icon: 'Stamp', order: 40, group: 'public', public: true, needs: '/api/prefix-applications' },
    { path: '/office', title: 'office.menu', icon: 'Tickets', order: 10, group: 'operate', needs: '/api/prefix-applications', roles: ['operator', 'reviewer', 'auditor', 'regulator'] },
    { path: '/office/prefixes', title: 'office.prefixesMenu', icon: 'Postcard', order: 20, group: 'operate', needs: '/api/prefixes-managed', roles: ['operator', 'reviewer', 'auditor', 'regulator'] },
    { path: '/office/organisations', title: 'office.orgMenu', icon: 'OfficeBuilding', order: 30, group: 'operate', needs: '/api/organisations', roles: ['operator', 'reviewer', 'auditor', 'regulator'] },
  ],
  words,
}
export default area
