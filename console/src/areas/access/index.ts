import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [
    { path: '/access', component: () => import('./People.vue'), meta: { title: 'access.people' } },
    { path: '/access/requests', component: () => import('./Requests.vue'), meta: { title: 'access.requests' } },
    { path: '/access/requests/new', component: () => import('./Ask.vue'), meta: { title: 'access.askTitle' } },
    { path: '/access/grants', component: () => import('./Grants.vue'), meta: { title: 'access.grants' } },
    { path: '/access/rules', component: () => import('./Rules.vue'), meta: { title: 'access.rules' } },
    { path: '/access/audit', component: () => import('./Audit.vue'), meta: { title: 'access.audit' } },
  ],
  menu: [
    { path: '/access', title: 'access.peopleMenu', icon: 'UserFilled', order: 10, group: 'access', needs: '/api/users', roles: ['operator', 'enterprise-admin', 'auditor'] },
    { path: '/access/grants', title: 'access.grantsMenu', icon: 'Key', order: 20, group: 'access', needs: '/api/grants', roles: ['operator', 'enterprise-admin', 'auditor'] },
    { path: '/access/rules', title: 'access.rulesMenu', icon: 'Lock', order: 25, group: 'access', needs: '/api/policies', roles: ['operator', 'enterprise-admin', 'auditor'] },
    { path: '/access/requests', title: 'access.requestsMenu', icon: 'Message', order: 30, group: 'access', needs: '/api/access-requests' },
    { path: '/access/audit', title: 'access.auditMenu', icon: 'View', order: 40, group: 'access', needs: '/api/audit', roles: ['operator', 'enterprise-admin', 'auditor'] },
  ],
  words,
}
export default area
