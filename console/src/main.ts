import 'element-plus/theme-chalk/dark/css-vars.css'
import './style.css'
import { createApp } from 'vue'
import App from './App.vue'
import { i18n } from './i18n'
import { loadNode } from './node'
import { router } from './router'
import { loadMe } from './session'
import './theme'

import BusyBar from './parts/BusyBar.vue'
import EmptyState from './parts/EmptyState.vue'
import FaultBox from './parts/FaultBox.vue'
import IdentLink from './parts/IdentLink.vue'
import JsonView from './parts/JsonView.vue'
import PageHead from './parts/PageHead.vue'
import PagedTable from './parts/PagedTable.vue'
import TimeText from './parts/TimeText.vue'

async function begin() {
  // Without the node there is nothing to show but that: App says so.
  await Promise.allSettled([loadNode(), loadMe()])
  createApp(App)
    .component('BusyBar', BusyBar).component('EmptyState', EmptyState).component('FaultBox', FaultBox)
    .component('IdentLink', IdentLink).component('JsonView', JsonView).component('PageHead', PageHead)
    .component('PagedTable', PagedTable).component('TimeText', TimeText)
    .use(i18n).use(router).mount('#app')
}
begin()
