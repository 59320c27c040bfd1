import type { RouteRecordRaw } from 'vue-router'

/** The roles that accounts are given, as GET /api/roles names them. */
export type RoleName = 'operator' | 'reviewer' | 'enterprise-admin' | 'enterprise-user' | 'application' | 'auditor' | 'regulator'

export type Group = 'work' | 'data' | 'trace' | 'access' | 'operate' | 'public'

export interface MenuItem {
  path: string
  /** A key of the words: 'records.title'. */
  title: string
  /** The name of an Element Plus icon. */
  icon: string
  order: number
  group?: Group
  /** Shown to users who have one of them anywhere; absent: to every user. */
  roles?: RoleName[]
  public?: boolean
  /** A path of the interface that the node must serve: '/api/flows'. */
  needs?: string
}

/** A part of the console: its screens, where they stand in the menu, and their words in both languages. */
export interface Area {
  routes: RouteRecordRaw[]
  menu: MenuItem[]
  words: { zh: object; en: object }
}

const found = import.meta.glob<{ default: Area }>('./areas/*/index.ts', { eager: true })

/** All areas by the name of their folder. */
export const areas: Record<string, Area> = Object.fromEntries(
  Object.entries(found).map(([path, m]) => [path.split('/')[2]!, m.default]),
)
