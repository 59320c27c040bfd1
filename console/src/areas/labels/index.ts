import type { Area } from '@/area'
import { en, zh } from './words'

export default {
  routes: [
    { path: '/labels', component: () => import('./List.vue'), meta: { title: 'labels.title' } },
    { path: '/labels/new', component: () => import('./Designer.vue'), meta: { title: 'labels.design.newTitle' } },
    { path: '/labels/edit/:name', component: () => import('./Designer.vue'), meta: { title: 'labels.design.title' } },
    { path: '/labels/print', component: () => import('./Print.vue'), meta: { title: 'labels.print.title' } },
    { path: '/labels/tag', component: () => import('./Tag.vue'), meta: { title: 'labels.tag.title' } },
  ],
  menu: [{ path: '/labels', title: 'labels.menu', icon: 'Printer', order: 40, group: 'data', needs: '/api/labels', roles: ['enterprise-admin', 'enterprise-user', 'application', 'auditor'] }],
  words: { zh, en },
} satisfies Area
