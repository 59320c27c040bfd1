import type { Area } from '@/area'
import { en, zh } from './words'

export default {
  routes: [
    { path: '/work', component: () => import('./Flows.vue'), meta: { title: 'work.flows.title' } },
    { path: '/work/flows/:solution/:flow', component: () => import('./Flow.vue'), meta: { title: 'work.flow.title' } },
    { path: '/work/scan', component: () => import('./Scan.vue'), meta: { title: 'work.scan.title' } },
    { path: '/work/runs', component: () => import('./Runs.vue'), meta: { title: 'work.runs.title' } },
    { path: '/work/runs/:run', component: () => import('./Run.vue'), meta: { title: 'work.run.title' } },
    { path: '/work/tasks', component: () => import('./Tasks.vue'), meta: { title: 'work.tasks.title' } },
    { path: '/work/messages', component: () => import('./Messages.vue'), meta: { title: 'work.messages.title' } },
  ],
  menu: [
    { path: '/work/tasks', title: 'work.tasks.menu', icon: 'Finished', order: 10, group: 'work', needs: '/api/flow-tasks' },
    { path: '/work', title: 'work.flows.menu', icon: 'Operation', order: 12, group: 'work', needs: '/api/flows' },
    { path: '/work/runs', title: 'work.runs.menu', icon: 'List', order: 14, group: 'work', needs: '/api/flow-runs' },
  ],
  words: { zh, en },
} satisfies Area
