/** What part of a picture is seen: it is scale times as large as its frame, and its corner stands at (x, y) within it; in pixels of the screen. */
export interface View { scale: number; x: number; y: number }
export const whole: View = { scale: 1, x: 0, y: 0 }
export const mostScale = 16

/** The picture always fills its frame. */
export function clamp(v: View, width: number, height: number): View {
  const scale = Math.min(mostScale, Math.max(1, v.scale))
  const within = (at: number, size: number) => Math.min(0, Math.max(size - size * scale, at)) || 0
  return { scale, x: within(v.x, width), y: within(v.y, height) }
}

/** zoomed is the view a factor nearer; what is seen at (px, py) of the frame stays there. */
export function zoomed(v: View, factor: number, px: number, py: number, width: number, height: number): View {
  const scale = Math.min(mostScale, Math.max(1, v.scale * factor))
  const f = scale / v.scale
  return clamp({ scale, x: px - (px - v.x) * f, y: py - (py - v.y) * f }, width, height)
}

export function moved(v: View, dx: number, dy: number, width: number, height: number): View {
  return clamp({ ...v, x: v.x + dx, y: v.y + dy }, width, height)
}

export interface Finger { x: number; y: number }

/** pinched is the view after two fingers went from a to b. */
export function pinched(v: View, a: [Finger, Finger], b: [Finger, Finger], width: number, height: number): View {
  const far = (p: [Finger, Finger]) => Math.hypot(p[0].x - p[1].x, p[0].y - p[1].y)
  const mid = (p: [Finger, Finger]) => ({ x: (p[0].x + p[1].x) / 2, y: (p[0].y + p[1].y) / 2 })
  const from = mid(a)
  const to = mid(b)
  const near = far(a) > 0 ? zoomed(v, far(b) / far(a), from.x, from.y, width, height) : v
  return moved(near, to.x - from.x, to.y - from.y, width, height)
}

const step = 60
/** keyed is what a key does to the view; undefined when it does nothing. */
export function keyed(v: View, key: string, width: number, height: number): View | undefined {
  switch (key) {
    case '+': case '=': return zoomed(v, 1.5, width / 2, height / 2, width, height)
    case '-': case '_': return zoomed(v, 1 / 1.5, width / 2, height / 2, width, height)
    case '0': case 'Home': return whole
    case 'ArrowLeft': return moved(v, step, 0, width, height)
    case 'ArrowRight': return moved(v, -step, 0, width, height)
    case 'ArrowUp': return moved(v, 0, step, width, height)
    case 'ArrowDown': return moved(v, 0, -step, width, height)
  }
  return undefined
}
