import { reactive } from 'vue'
import { get } from '@/api'
import { node } from '@/node'
import { language } from '@/i18n'
import { quietly } from './plans'

interface Told { title: string; roles: Record<string, string> }
const told = reactive<Record<string, Told>>({})
const asked = new Set<string>()

async function ask(key: string, name: string) {
  if (asked.has(key)) return
  asked.add(key)
  const d = await quietly(() => get<{ title: string; roles: { name: string; title: string }[] }>('/api/solutions/' + encodeURIComponent(name)))
  if (d) told[key] = { title: d.title, roles: Object.fromEntries(d.roles.map((r) => [r.name, r.title])) }
}

/** titles are what people call solutions and their roles; the names themselves until that is known. */
export function titles() {
  const of = (name: string): Told | undefined => {
    const key = language.value + ' ' + name
    if (node.value.serves('/api/solutions')) void ask(key, name)
    return told[key]
  }
  return {
    solutionOf: (name: string) => of(name)?.title ?? name,
    roleOf: (flow: string, role: string) => of(flow.split('/')[0]!)?.roles[role] ?? role,
  }
}
