// The README of a case is text that another enterprise may have written: it becomes elements of our choosing, never markup of theirs.
import { h, type VNode } from 'vue'
import { safeUrl } from '@/api'

/** A piece of a paragraph. */
export type Inline = { kind: 'text' | 'code' | 'strong' | 'em'; text: string } | { kind: 'link'; text: string; to: string }

/** A piece of a document. */
export type Block =
  | { kind: 'heading'; level: number; text: Inline[] }
  | { kind: 'paragraph'; text: Inline[] }
  | { kind: 'list'; ordered: boolean; items: Inline[][] }
  | { kind: 'table'; head: Inline[][]; rows: Inline[][][] }
  | { kind: 'code'; text: string }

/** inline reads `code`, **strong**, *emphasis* and [links](https://…); everything else is text. */
export function inline(s: string): Inline[] {
  const out: Inline[] = []
  const re = /`([^`]+)`|\*\*([^*]+)\*\*|\*([^*\s][^*]*)\*|\[([^\]]*)\]\(([^)\s]*)\)/g
  let at = 0
  for (let m = re.exec(s); m; m = re.exec(s)) {
    if (m.index > at) out.push({ kind: 'text', text: s.slice(at, m.index) })
    if (m[1] !== undefined) out.push({ kind: 'code', text: m[1] })
    else if (m[2] !== undefined) out.push({ kind: 'strong', text: m[2] })
    else if (m[3] !== undefined) out.push({ kind: 'em', text: m[3] })
    else {
      const to = safeUrl(m[5])
      out.push(to ? { kind: 'link', text: m[4]!, to } : { kind: 'text', text: m[4]! })
    }
    at = m.index + m[0].length
  }
  if (at < s.length) out.push({ kind: 'text', text: s.slice(at) })
  return out
}

const cells = (line: string) => line.trim().replace(/^\||\|$/g, '').split('|').map((c) => inline(c.trim()))

/** blocks reads headings, paragraphs, lists, tables and fenced code. */
export function blocks(text: string): Block[] {
  const lines = text.slice(0, 200_000).replace(/\r\n?/g, '\n').split('\n')
  const out: Block[] = []
  const item = /^\s*(?:([-*])|(\d+)[.)])\s+(.*)$/
  for (let i = 0; i < lines.length; ) {
    const line = lines[i]!
    if (!line.trim()) {
      i++
      continue
    }
    if (/^```/.test(line)) {
      const code: string[] = []
      for (i++; i < lines.length && !/^```/.test(lines[i]!); i++) code.push(lines[i]!)
      i++
      out.push({ kind: 'code', text: code.join('\n') })
      continue
    }
    const heading = /^(#{1,6})\s+(.*)$/.exec(line)
    if (heading) {
      out.push({ kind: 'heading', level: heading[1]!.length, text: inline(heading[2]!) })
      i++
      continue
    }
    if (line.trim().startsWith('|') && /^\s*\|?[\s:|-]+\|?\s*$/.test(lines[i + 1] ?? '')) {
      const head = cells(line)
      const rows: Inline[][][] = []
      for (i += 2; i < lines.length && lines[i]!.trim().startsWith('|'); i++) rows.push(cells(lines[i]!))
      out.push({ kind: 'table', head, rows })
      continue
    }
    const first = item.exec(line)
    if (first) {
      const items: string[] = []
      for (; i < lines.length && lines[i]!.trim(); i++) {
        const m = item.exec(lines[i]!)
        if (m) items.push(m[3]!)
        else items[items.length - 1] += ' ' + lines[i]!.trim()
      }
      out.push({ kind: 'list', ordered: first[2] !== undefined, items: items.map(inline) })
      continue
    }
    const words: string[] = []
    for (; i < lines.length && lines[i]!.trim() && !/^(#{1,6}\s|```|\s*\|)/.test(lines[i]!) && !(words.length && item.test(lines[i]!)); i++) words.push(lines[i]!.trim())
    if (!words.length) words.push(lines[i++]!.trim())
    out.push({ kind: 'paragraph', text: inline(words.join(' ')) })
  }
  return out
}

function pieces(list: Inline[]): (VNode | string)[] {
  return list.map((x) => {
    switch (x.kind) {
      case 'text': return x.text
      case 'code': return h('code', x.text)
      case 'strong': return h('strong', x.text)
      case 'em': return h('em', x.text)
      case 'link': return h('a', { href: x.to, rel: 'noopener noreferrer', target: '_blank' }, x.text)
    }
  })
}

/** Markdown shows a document below a heading of level `under`. */
export function Markdown(props: { text: string; under?: number }) {
  const under = props.under ?? 1
  return h('div', { class: 'markdown' }, blocks(props.text).map((b) => {
    switch (b.kind) {
      case 'heading': return h('h' + Math.min(6, b.level + under), pieces(b.text))
      case 'paragraph': return h('p', pieces(b.text))
      case 'list': return h(b.ordered ? 'ol' : 'ul', b.items.map((x) => h('li', pieces(x))))
      case 'code': return h('pre', { class: 'json', tabindex: 0 }, b.text)
      case 'table': return h('div', { class: 'scroller', tabindex: 0, role: 'group' }, [h('table', { class: 'table' }, [
        h('thead', h('tr', b.head.map((c) => h('th', { scope: 'col' }, pieces(c))))),
        h('tbody', b.rows.map((r) => h('tr', r.map((c) => h('td', pieces(c)))))),
      ])])
    }
  }))
}
Markdown.props = ['text', 'under']
