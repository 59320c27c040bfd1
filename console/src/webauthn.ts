// Passkeys (WebAuthn level 3): browsers read and write the JSON forms themselves where they can.

type Json = Record<string, unknown>

function bytes(s: string): ArrayBuffer {
  const b = atob(s.replace(/-/g, '+').replace(/_/g, '/').padEnd(Math.ceil(s.length / 4) * 4, '='))
  return Uint8Array.from(b, (c) => c.charCodeAt(0)).buffer
}
function text(b: ArrayBuffer | null | undefined): string | undefined {
  return b ? btoa(String.fromCharCode(...new Uint8Array(b))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '') : undefined
}

function options(o: Json): any {
  const k = { ...((o.publicKey as Json | undefined) ?? o) } as any
  k.challenge = bytes(k.challenge)
  if (k.user) k.user = { ...k.user, id: bytes(k.user.id) }
  for (const list of ['allowCredentials', 'excludeCredentials']) if (k[list]) k[list] = k[list].map((c: any) => ({ ...c, id: bytes(c.id) }))
  return k
}
function answer(c: PublicKeyCredential): Json {
  const r = c.response as any
  return {
    id: c.id, rawId: text(c.rawId), type: c.type, authenticatorAttachment: c.authenticatorAttachment ?? undefined, clientExtensionResults: c.getClientExtensionResults(),
    response: {
      clientDataJSON: text(r.clientDataJSON), attestationObject: text(r.attestationObject), authenticatorData: text(r.authenticatorData),
      signature: text(r.signature), userHandle: text(r.userHandle), transports: r.getTransports?.(),
    },
  }
}

export const passkeys = typeof PublicKeyCredential !== 'undefined'

export async function make(o: Json): Promise<Json> {
  return answer((await navigator.credentials.create({ publicKey: options(o) })) as PublicKeyCredential)
}
export async function use(o: Json): Promise<Json> {
  return answer((await navigator.credentials.get({ publicKey: options(o) })) as PublicKeyCredential)
}
