// The key of an applicant's prefix, made in this browser: what is private leaves it only into the file that the person keeps.
const b64 = (b: ArrayBuffer | Uint8Array) => btoa(String.fromCharCode(...new Uint8Array(b as ArrayBuffer)))
const url = (s: string) => s.replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '')
const lines = (s: string) => s.replace(/(.{64})(?=.)/g, '$1\n')

/** pem wraps DER as RFC 7468 has it. */
export function pem(label: string, der: ArrayBuffer): string {
  return `-----BEGIN ${label}-----\n${lines(b64(der))}\n-----END ${label}-----\n`
}

export interface Pair { private: string; public: string; sign(claims: object): Promise<string> }

/** make is a P-256 key pair: its private key as PEM (PKCS #8), its public key as base64 of PEM, and a signer of compact JWS (RFC 7515, ES256). */
export async function make(): Promise<Pair> {
  const k = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign', 'verify'])
  const pub = pem('PUBLIC KEY', await crypto.subtle.exportKey('spki', k.publicKey))
  return {
    private: pem('PRIVATE KEY', await crypto.subtle.exportKey('pkcs8', k.privateKey)),
    public: btoa(pub),
    async sign(claims) {
      const part = (x: object) => url(b64(new TextEncoder().encode(JSON.stringify(x))))
      const body = part({ alg: 'ES256' }) + '.' + part(claims)
      const sig = await crypto.subtle.sign({ name: 'ECDSA', hash: 'SHA-256' }, k.privateKey, new TextEncoder().encode(body))
      return body + '.' + url(b64(sig))
    },
  }
}
