import { createI18n } from 'vue-i18n'
import { ref, watch } from 'vue'
import { areas } from './area'
import { setLanguage } from './api'
import { shell } from './words'

export type Language = 'zh' | 'en'

function first(): Language {
  const kept = localStorage.getItem('fujie.language')
  if (kept === 'zh' || kept === 'en') return kept
  // Chinese users are the first users: English only for who asks for it before Chinese.
  const wanted = navigator.languages.find((l) => /^(zh|en)\b/i.test(l))
  return wanted && wanted.toLowerCase().startsWith('en') ? 'en' : 'zh'
}

export const language = ref<Language>(first())

function all(l: Language) {
  return { ...Object.fromEntries(Object.entries(areas).map(([name, a]) => [name, a.words[l]])), shell: shell[l] }
}

export const i18n = createI18n({
  legacy: false,
  locale: language.value,
  fallbackLocale: 'en',
  messages: { zh: all('zh'), en: all('en') } as unknown as Record<string, Record<string, never>>,
  warnHtmlMessage: true,
})

watch(
  language,
  (l) => {
    i18n.global.locale.value = l
    setLanguage(l === 'zh' ? 'zh-CN' : 'en')
    document.documentElement.lang = l === 'zh' ? 'zh-CN' : 'en'
    localStorage.setItem('fujie.language', l)
  },
  { immediate: true },
)
