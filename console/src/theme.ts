import { ref, watch } from 'vue'

export type Theme = 'auto' | 'light' | 'dark'

const system = matchMedia('(prefers-color-scheme: dark)')
const kept = localStorage.getItem('fujie.theme')

/** What the user chose; auto follows the system. */
export const theme = ref<Theme>(kept === 'light' || kept === 'dark' ? kept : 'auto')

/** Whether the screen is dark now. */
export const dark = ref(false)

function apply() {
  dark.value = theme.value === 'dark' || (theme.value === 'auto' && system.matches)
  document.documentElement.classList.toggle('dark', dark.value)
}
system.addEventListener('change', apply)
watch(theme, (t) => {
  if (t === 'auto') localStorage.removeItem('fujie.theme')
  else localStorage.setItem('fujie.theme', t)
  apply()
})
apply()
