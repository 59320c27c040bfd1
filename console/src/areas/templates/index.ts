import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [
    { path: '/templates', component: () => import('./List.vue'), meta: { title: 'templates.title' } },
    { path: '/templates/new', component: () => import('./Edit.vue'), meta: { title: 'templates.new' } },
    { path: '/templates/edit/:id(.+)', component: () => import('./Edit.vue'), meta: { title: 'templates.editTitle' } },
    { path: '/templates/:id(.+)', component: () => import('./Show.vue'), meta: { title: 'templates.title' } },
  ],
  menu: [{ path: '/templates', title: 'templates.menu', icon: 'Collection', order: 20, group: 'data', needs: '/api/templates' }],
  words,
}
export default area
