import { reactive, watch } from 'vue'

export type Mode = 'camera' | 'scanner' | 'hand'

export interface Settings {
  mode: Mode
  /** Go on to the next code without a tap. */
  continuous: boolean
  beep: boolean
  vibrate: boolean
  /** What this device calls itself, in the journal of every scan. */
  device: string
  /** The identifier of the place where it stands. */
  where: string
}

const key = 'fujie.phone'

function kept(): Partial<Settings> {
  try {
    return JSON.parse(localStorage.getItem(key) ?? '{}') as Partial<Settings>
  } catch {
    return {}
  }
}

function name(): string {
  const letters = new Uint8Array(3)
  crypto.getRandomValues(letters)
  return 'phone-' + [...letters].map((x) => x.toString(16).padStart(2, '0')).join('')
}

/** What this device does, kept on it. */
export const settings = reactive<Settings>({ mode: 'camera', continuous: false, beep: true, vibrate: true, device: name(), where: '', ...kept() })

watch(settings, (s) => localStorage.setItem(key, JSON.stringify(s)), { immediate: true })
