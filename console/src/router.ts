import { createRouter, createWebHashHistory, START_LOCATION, type RouteRecordRaw } from 'vue-router'
import { areas } from './area'
import { loggedIn } from './session'

const routes: RouteRecordRaw[] = [
  { path: '/', component: () => import('./pages/Home.vue'), meta: { public: true, title: 'shell.home.title' } },
  { path: '/login', component: () => import('./pages/Login.vue'), meta: { public: true, title: 'shell.login.title' } },
  { path: '/invitation', component: () => import('./pages/Invitation.vue'), meta: { public: true, title: 'shell.invitation.title' } },
  { path: '/account', component: () => import('./pages/Account.vue'), meta: { title: 'shell.account.title' } },
  ...Object.values(areas).flatMap((a) => a.routes),
  { path: '/:rest(.*)*', component: () => import('./pages/Lost.vue'), meta: { public: true, title: 'shell.lost.title' } },
]

// Addresses after #: the node answers for one page only, and an identifier may stand in them with all its slashes.
export const router = createRouter({
  history: createWebHashHistory(), routes,
  // The first screen begins at its top anyway: to say so would have it laid out once more.
  scrollBehavior: (_to, from, saved) => saved ?? (from === START_LOCATION ? false : { top: 0 }),
})

router.beforeEach((to) => {
  if (!to.meta.public && !loggedIn.value) return { path: '/login', query: { to: to.fullPath } }
  return true
})
