import { Fault, get } from '@/api'
import { node } from '@/node'
import { small, type FlowView, type Plan } from './model'

/** plans are the flows that the user may see; of an older node, those that they may begin. */
export async function plans(): Promise<{ items: Plan[]; whole: boolean }> {
  if (node.value.serves('/api/flow-plans')) return { items: (await get<{ items: Plan[] }>('/api/flow-plans')).items ?? [], whole: true }
  return { items: ((await get<{ items: FlowView[] }>('/api/flows')).items ?? []).map(small), whole: false }
}

/** quietly is what f gives, or nothing where the node refuses: for what a screen can do without. */
export async function quietly<T>(f: () => Promise<T>): Promise<T | undefined> {
  try {
    return await f()
  } catch (e) {
    if (e instanceof Fault) return undefined
    throw e
  }
}
