import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [
    { path: '/records', component: () => import('./List.vue'), meta: { title: 'records.title' } },
    { path: '/records/new', component: () => import('./Edit.vue'), meta: { title: 'records.newTitle' } },
    { path: '/records/import', component: () => import('./Import.vue'), meta: { title: 'records.importFile' } },
    { path: '/records/codes', component: () => import('./Codes.vue'), meta: { title: 'records.issue' } },
    { path: '/records/edit/:id(.+)', component: () => import('./Edit.vue'), meta: { title: 'records.editTitle' } },
    { path: '/records/:id(.+)', component: () => import('./Show.vue'), meta: { public: true, title: 'records.show' } },
  ],
  menu: [
    { path: '/records', title: 'records.menu', icon: 'PriceTag', order: 10, group: 'data', needs: '/api/handles' },
  ],
  words,
}
export default area
