// Names of kinds and columns in people's words; what nobody named stays as it is.
import { isIdentifier } from './model'

type T = (k: string) => string
export function kindName(x: string, t: T, te: (k: string) => boolean): string {
  if (x === '') return t('figures.unknownKind')
  if (/^\d{4}-\d\d-\d\d \d\d$/.test(x)) return x + ':00'
  if (isIdentifier(x)) return x.slice(x.indexOf('/') + 1)
  return /^[a-z_-]+$/i.test(x) && te('figures.kinds.' + x) ? t('figures.kinds.' + x) : x
}
export function columnName(x: string, t: T, te: (k: string) => boolean): string {
  return /^[a-z_]+$/i.test(x) && te('figures.columns.' + x) ? t('figures.columns.' + x) : x
}
