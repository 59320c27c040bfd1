import { en } from './en'
import { zh } from './zh'

export const words = { zh, en }
