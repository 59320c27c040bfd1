// Writing records, each way with a way back.
import { ElMessage } from 'element-plus/es/components/message/index'
import { ElMessageBox } from 'element-plus/es/components/message-box/index'
import 'element-plus/es/components/message/style/css'
import 'element-plus/es/components/message-box/style/css'
import { del, inPath, put } from '@/api'
import { undoable } from '@/undo'
import type { Value } from './model'

type Say = (key: string, named?: Record<string, unknown>) => string

/** What the node makes itself: never sent back to it. */
const made = new Set(['HS_SIGNATURE'])

/** plain is a value as it may be written again. */
export function plain(v: Value): Record<string, unknown> {
  const out: Record<string, unknown> = { index: v.index, type: v.type, data: v.data }
  if (v.ttl !== undefined) out.ttl = v.ttl
  if (v.permissions !== undefined) out.permissions = v.permissions
  return out
}

export function writable(values: Value[]) {
  return values.filter((v) => !made.has(v.type)).map(plain)
}

/** whole writes a record as a whole; only where there is none yet unless over. */
export function whole(id: string, values: Record<string, unknown>[], over: boolean) {
  return put('/api/handles/' + inPath(id), { values }, { query: { overwrite: String(over) } })
}

/** removeWhole asks, deletes, and offers to put back what was there. It answers whether it was deleted. */
export async function removeWhole(id: string, values: Value[], t: Say): Promise<boolean> {
  try {
    await ElMessageBox.confirm(t('records.removeText', { id }), t('records.removeTitle'), { type: 'warning', confirmButtonText: t('records.remove'), cancelButtonText: t('records.cancel'), confirmButtonClass: 'el-button--danger' })
  } catch {
    return false
  }
  try {
    await undoable(t('records.removed', { id }), () => del('/api/handles/' + inPath(id)), () => whole(id, writable(values), false))
    return true
  } catch (e) {
    ElMessage({ type: 'error', message: e instanceof Error ? e.message : String(e), duration: 8000, showClose: true })
    return false
  }
}
