import { ElMessage } from 'element-plus/es/components/message/index'
import 'element-plus/es/components/message/style/css'
import { h } from 'vue'
import { i18n } from './i18n'

/** undoable does something, then offers for ten seconds to take it back. */
export async function undoable(text: string, doIt: () => Promise<unknown>, undo: () => Promise<unknown>) {
  await doIt()
  const t = i18n.global.t
  const shown = ElMessage({
    type: 'success',
    duration: 10_000,
    showClose: true,
    message: h('span', { role: 'status' }, [
      text + ' ',
      h('button', {
        type: 'button', class: 'undo',
        onClick: async () => {
          shown.close()
          try {
            await undo()
            ElMessage({ type: 'info', message: t('shell.undone') })
          } catch (e) {
            ElMessage({ type: 'error', message: e instanceof Error ? e.message : String(e), duration: 8000, showClose: true })
          }
        },
      }, t('shell.undo')),
    ]),
  })
}
