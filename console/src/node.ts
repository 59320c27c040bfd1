import { shallowRef } from 'vue'
import { get } from './api'

export interface NodeInfo {
  name: string
  role: 'root' | 'national' | 'second-level' | 'enterprise' | 'recursive'
  prefix: string
  version: string
  /** The beginnings of paths that it serves: '/api/flows'. */
  doors: string[]
  serves(path: string): boolean
}

/** The node that serves this page. */
export const node = shallowRef<NodeInfo>({ name: '', role: 'enterprise', prefix: '', version: '', doors: [], serves: () => false })

export async function loadNode() {
  const ask = () => get<Omit<NodeInfo, 'serves'>>('/api/node')
  // A connection that fell away while the page came is no reason to show nothing.
  const n = await ask().catch(() => new Promise((ok) => setTimeout(ok, 400)).then(ask))
  const doors = new Set(n.doors)
  node.value = { ...n, serves: (p) => doors.has(p) }
}
