// Doing a flow: one scan after the other, here and at the node. Every scan is kept on the device before it is sent, so that none is lost
// between the beep and the answer.
import { computed, ref, shallowRef } from 'vue'
import { Fault, get } from '@/api'
import { me } from '@/session'
import { ask, away, flush, queue, ready, unkept } from './line'
import type { Item } from './queue'
import { settings } from './settings'
import { signal } from './signal'
import type { FieldView, FlowView, Result, Run, Scan, StepView } from './types'

const shelf = 'fujie.flows'

/** flows are those that the user may begin; without the node, those of last time. */
export async function flows(): Promise<{ items: FlowView[]; old: boolean }> {
  try {
    const items = (await get<{ items: FlowView[] }>('/api/flows')).items ?? []
    localStorage.setItem(shelf, JSON.stringify({ who: me.value?.user, items }))
    return { items, old: false }
  } catch (e) {
    if (!away(e)) throw e
    try {
      const kept = JSON.parse(localStorage.getItem(shelf) ?? 'null') as { who?: string; items: FlowView[] } | null
      if (kept && kept.who === me.value?.user) return { items: kept.items, old: true }
    } catch {
      // What was kept cannot be read: the error says enough.
    }
    throw e
  }
}

/** What the last scan came to, as the screen shows it. */
export interface Shown {
  code: string
  result?: Result
  kept?: boolean
  error?: string
  conflict?: boolean
}

export interface Question {
  fields: FieldView[]
  /** What is sent with the form. */
  scan: Scan
  title: string
}

/** doing is the state of one person at one flow; without a flow, the code says which. */
export function doing(silent = false) {
  const flow = shallowRef<FlowView | undefined>()
  const run = ref<string | undefined>()
  const step = shallowRef<StepView | undefined>()
  const shown = shallowRef<Shown | undefined>()
  const question = shallowRef<Question | undefined>()
  const busy = ref(false)
  const about = ref('')
  /** The last result that stands on a run which is not over: it can be taken back. */
  const last = shallowRef<Result | undefined>()
  const dry = ref(false)
  /** The first scan of a run that the node does not know yet. */
  const offlineRun = ref<string | undefined>()

  const title = computed(() => step.value?.title ?? (run.value ? '' : (flow.value?.start.title ?? '')))
  const hint = computed(() => step.value?.hint ?? '')
  const scans = computed(() => (step.value ? step.value.scans : flow.value ? flow.value.start.scans : true))

  function sound(kind: Parameters<typeof signal>[0]) {
    if (!silent) signal(kind)
  }

  /** choose begins at a flow's start. */
  function choose(f: FlowView | undefined) {
    flow.value = f
    restart()
    shown.value = undefined
  }
  /** restart leaves the run where it is; the next scan begins another. */
  function restart() {
    run.value = offlineRun.value = undefined
    step.value = flow.value?.start
    question.value = undefined
    about.value = ''
    form()
  }
  /** form asks for the form of a step at which nothing is scanned. */
  function form() {
    const s = step.value
    if (s && !s.scans && s.form?.length) question.value = { fields: s.form, scan: base({}), title: s.title }
  }

  /** resume goes on with a run that there is. */
  async function resume(name: string) {
    const r = await get<Run>('/api/flow-runs/' + encodeURIComponent(name))
    take(r)
  }
  function take(r: Run) {
    run.value = r.state === 'open' ? r.run : undefined
    step.value = r.state === 'open' ? r.next : flow.value?.start
    about.value = r.about
    question.value = undefined
    last.value = { run: r.run, flow: r.flow, state: r.state, verdict: r.verdict, say: r.say }
    if (r.state !== 'open') shown.value = { code: r.about, result: { run: r.run, verdict: r.verdict ?? 'stopped', say: r.say, state: r.state } }
    form()
  }

  function base(x: Partial<Scan>): Scan {
    return { flow: run.value ? undefined : flow.value?.name, run: run.value, step: run.value && !offlineRun.value ? step.value?.step : undefined, device: settings.device || undefined, where: settings.where || undefined, ...x }
  }

  // What a scanner gave while the node was still answering the scan before: it comes next, in its order.
  const ahead: string[] = []

  /** code is what a scanner, the camera or a hand gave. */
  async function code(text: string) {
    if (!text) return
    if (busy.value) {
      if (ahead.length < 50) {
        sound('read')
        ahead.push(text)
      } else sound('refused')
      return
    }
    sound('read')
    await one(text)
    while (ahead.length) {
      // A question is for the person: what was scanned before it was seen is not its answer.
      if (question.value || shown.value?.result?.choices?.length) {
        ahead.length = 0
        sound('refused')
        return
      }
      await one(ahead.shift()!)
    }
  }
  async function one(text: string) {
    const s = step.value ?? flow.value?.start
    const scan = base({ code: text })
    // A form without a field that must be filled is never asked for by the node: it is shown first.
    if (s?.form?.length && s.scans && !s.form.some((f) => f.required)) {
      question.value = { fields: s.form, scan, title: text }
      return
    }
    await submit(scan)
  }
  function finish() {
    return submit(base({ finish: true }))
  }
  function answer(values: Record<string, unknown>) {
    const q = question.value
    return q ? submit({ ...q.scan, form: values }) : Promise.resolve()
  }
  function pick(c: { flow: string; run?: string }) {
    return submit(base({ code: shown.value?.code ?? '', flow: c.run ? undefined : c.flow, run: c.run, step: undefined }))
  }

  async function submit(scan: Scan) {
    const who = me.value?.user
    if (busy.value || !who) return
    busy.value = true
    const text = scan.code ?? ''
    try {
      if (dry.value) {
        apply(scan, await ask<Result>('POST', '/api/flow-scans', { ...scan, dryRun: true, id: undefined, sent: new Date().toISOString() }))
        return
      }
      await ready()
      const stepForm = (step.value ?? flow.value?.start)?.form ?? []
      const item = await keep(who, scan)
      // What was scanned before goes first.
      if (item && queue.waiting(who).length > 1) await flush()
      if (item && queue.waiting(who).some((x) => x !== item)) {
        offline(item, stepForm)
        return
      }
      if (item) queue.flying.add(item.no)
      try {
        const r = await ask<Result>('POST', '/api/flow-scans', { ...(item?.scan ?? scan), sent: new Date().toISOString() })
        // A question is no answer yet: the scan is sent again, with its form, under the same number.
        if (item) await (r.verdict === 'asking' ? queue.drop(item) : seen(item, r))
        apply({ ...scan, id: item?.scan.id }, r)
      } catch (e) {
        if (item && away(e)) {
          offline(item, stepForm)
        } else {
          if (item) await queue.drop(item)
          if (!(e instanceof Fault)) throw e
          shown.value = { code: text, error: e.message, conflict: e.status === 409 }
          sound('refused')
        }
      } finally {
        if (item) queue.flying.delete(item.no)
      }
    } finally {
      busy.value = false
    }
  }

  async function keep(who: string, scan: Scan): Promise<Item | undefined> {
    try {
      return await queue.add(who, scan, [flow.value?.title, title.value].filter(Boolean).join(' · '))
    } catch (e) {
      unkept.value = e instanceof Error ? e.message : String(e)
      return undefined
    }
  }
  async function seen(item: Item, r: Result) {
    item.seen = true // the person has the answer before them
    await queue.answer(item, r)
  }

  function offline(item: Item, stepForm: FieldView[]) {
    const scan = item.scan
    if (stepForm.some((f) => f.required) && !scan.form && !scan.finish && !offlineRun.value) {
      // The node would ask for the form; it cannot, so we do.
      void queue.drop(item)
      question.value = { fields: stepForm, scan: { ...scan }, title: scan.code ?? '' }
      return
    }
    question.value = undefined
    shown.value = { code: scan.code ?? '', kept: true }
    if (!scan.run) {
      offlineRun.value = '@' + scan.id
      about.value = scan.code ?? ''
    }
    sound('kept')
  }
  /** same goes on with the run that began while the node was away. */
  function same() {
    if (!run.value && offlineRun.value) {
      run.value = offlineRun.value
      step.value = undefined
    }
  }

  function apply(scan: Scan, r: Result) {
    const text = scan.code ?? ''
    shown.value = { code: text, result: r }
    question.value = undefined
    sound(r.verdict ?? 'warned')
    if (dry.value) return
    last.value = r
    if (r.verdict === 'asking') {
      if (r.form?.length) question.value = { fields: r.form, scan: { ...scan, run: r.run || scan.run, flow: r.run ? undefined : (r.flow ?? scan.flow) }, title: text }
      return
    }
    offlineRun.value = undefined
    if (r.run && !r.ended && r.state === 'open' && r.next) {
      if (run.value !== r.run) about.value = text
      run.value = r.run
      step.value = r.next
    } else {
      run.value = undefined
      step.value = flow.value?.start
      about.value = ''
    }
    form()
  }

  return { flow, run, step, shown, question, busy, about, last, dry, offlineRun, title, hint, scans, choose, restart, resume, take, code, finish, answer, pick, same, submit }
}

export type Doing = ReturnType<typeof doing>
