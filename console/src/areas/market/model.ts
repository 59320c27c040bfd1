export interface Made { templates?: string[]; codes?: string[]; groups?: string[]; labels?: string[]; rules?: string[] }
export interface Installed { version: string; digest: string; party: string; parties?: Record<string, string>; made: Made; state: 'installing' | 'installed' | 'removing'; at: string; by?: string }
export interface View { name: string; version: string; case?: string; title: string; summary: string; mode: string; industry: string; parties: Record<string, string>; installed?: Installed; newer?: boolean }
export interface Titled { name: string; title: string }
export interface Brings { templates?: string[]; codes?: string[]; flows?: Titled[]; indicators?: Titled[]; pages?: Titled[] }
export interface Show { name: string; party: string; template: string; items: Titled[]; to: string[]; purposes?: string[]; rule?: string }
export interface Detail extends View { shows?: Show[]; readme?: string; roles: { name: string; title: string; party?: string; group?: string }[]; brings: Record<string, Brings> }

/** What stands in front of the files of a folder that somebody picked: `mine/solution.yaml` → `solution.yaml`. */
export function inFolder(path: string): string {
  const i = path.indexOf('/')
  return i < 0 ? path : path.slice(i + 1)
}

/** nameOf is the name that a solution.yaml gives its case. */
export function nameOf(yaml: string): string | undefined {
  return /^solution:[ \t]*["']?([A-Za-z0-9][A-Za-z0-9_-]*)["']?[ \t]*(?:#.*)?$/m.exec(yaml)?.[1]
}

/** What of a folder belongs to a case: text files, none hidden. The node checks them all; this keeps a wrong folder from being sent. */
export function wanted(path: string): boolean {
  return !path.split('/').some((p) => p.startsWith('.')) && /\.(ya?ml|sql|md|txt|csv|json|jsonl|cel)$/i.test(path)
}

export const maxFiles = 500
export const maxBytes = 4 << 20
