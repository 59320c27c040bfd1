import type { Area } from '@/area'
import { words } from './words'

const area: Area = {
  routes: [
    { path: '/trace', component: () => import('./Trace.vue'), meta: { title: 'trace.title' } },
    { path: '/trace/events', component: () => import('./Events.vue'), meta: { title: 'trace.events.title' } },
    { path: '/trace/events/capture', component: () => import('./Capture.vue'), meta: { title: 'trace.capture.title' } },
    { path: '/trace/events/subscriptions', component: () => import('./Subscriptions.vue'), meta: { title: 'trace.sub.title' } },
    { path: '/trace/events/:id(.+)', component: () => import('./Event.vue'), meta: { title: 'trace.event.title' } },
    { path: '/trace/recalls', component: () => import('./Recalls.vue'), meta: { title: 'trace.recall.title' } },
    { path: '/trace/recalls/:name', component: () => import('./Recall.vue'), meta: { title: 'trace.recall.one' } },
    { path: '/trace/notices', component: () => import('./Notices.vue'), meta: { title: 'trace.notice.title' } },
    { path: '/trace/notices/:name', component: () => import('./Notice.vue'), meta: { title: 'trace.notice.one' } },
    { path: '/trace/shares', component: () => import('./Shares.vue'), meta: { title: 'trace.share.title' } },
    { path: '/trace/evidence', component: () => import('./Evidence.vue'), meta: { title: 'trace.evidence.title' } },
  ],
  menu: [
    { path: '/trace', title: 'trace.menu', icon: 'Guide', order: 10, group: 'trace', needs: '/api/trace', roles: ['operator', 'enterprise-admin', 'enterprise-user', 'auditor', 'regulator'] },
    { path: '/trace/events', title: 'trace.events.menu', icon: 'Timer', order: 20, group: 'trace', needs: '/api/trace' },
    { path: '/trace/recalls', title: 'trace.recall.menu', icon: 'Warning', order: 30, group: 'trace', needs: '/api/recalls', roles: ['operator', 'reviewer', 'enterprise-admin', 'enterprise-user', 'auditor', 'regulator'] },
    { path: '/trace/notices', title: 'trace.notice.menu', icon: 'Bell', order: 40, group: 'trace', needs: '/api/recall-notices', roles: ['operator', 'enterprise-admin', 'enterprise-user', 'auditor', 'regulator'] },
    { path: '/trace/shares', title: 'trace.share.menu', icon: 'Share', order: 50, group: 'trace', needs: '/api/shares', roles: ['operator', 'enterprise-admin', 'auditor'] },
    { path: '/trace/evidence', title: 'trace.evidence.menu', icon: 'Stamp', order: 60, group: 'trace', needs: '/api/trace' },
  ],
  words,
}
export default area
