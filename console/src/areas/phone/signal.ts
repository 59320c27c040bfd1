import { settings } from './settings'
import type { Verdict } from './types'

let audio: AudioContext | undefined

function tone(hertz: number, from: number, seconds: number) {
  const o = audio!.createOscillator()
  const g = audio!.createGain()
  const t = audio!.currentTime + from
  o.frequency.value = hertz
  o.type = 'square'
  g.gain.setValueAtTime(0.0001, t)
  g.gain.exponentialRampToValueAtTime(0.25, t + 0.01)
  g.gain.exponentialRampToValueAtTime(0.0001, t + seconds)
  o.connect(g).connect(audio!.destination)
  o.start(t)
  o.stop(t + seconds + 0.02)
}

/** signal says to ear and hand how a scan went, apart from what stands on the screen: who works with gloves does not always look. */
export function signal(kind: Verdict | 'read' | 'kept') {
  const good = kind === 'passed' || kind === 'read' || kind === 'kept'
  const bad = kind === 'refused' || kind === 'stopped'
  if (settings.vibrate) navigator.vibrate?.(good ? 60 : bad ? [180, 80, 180, 80, 180] : [90, 60, 90])
  if (!settings.beep) return
  try {
    audio ??= new AudioContext()
    void audio.resume()
    if (kind === 'read') tone(1800, 0, 0.05)
    else if (kind === 'kept') tone(1200, 0, 0.08)
    else if (good) {
      tone(1500, 0, 0.09)
      tone(2000, 0.1, 0.12)
    } else if (bad) for (const n of [0, 1, 2]) tone(220, n * 0.25, 0.18)
    else for (const n of [0, 1]) tone(700, n * 0.16, 0.1)
  } catch {
    // No sound here: it is on the screen too.
  }
}
