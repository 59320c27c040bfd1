import { ref, shallowRef } from 'vue'

interface Prompt extends Event {
  prompt(): Promise<void>
}

const prompt = shallowRef<Prompt | null>(null)

/** Whether the browser would put the application among the phone's own. */
export const installable = ref(false)

addEventListener('beforeinstallprompt', (e) => {
  e.preventDefault()
  prompt.value = e as Prompt
  installable.value = true
})
addEventListener('appinstalled', () => (installable.value = false))

export async function install() {
  await prompt.value?.prompt()
  prompt.value = null
  installable.value = false
}
