package trust

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// What a certificate allows its key to sign (handle-protocol §1.13).
const (
	Everything      = "everything"             // whatever there is
	ThisHandle      = "thisHandle"             // the record of the permission's handle
	DerivedPrefixes = "derivedPrefixes"        // 0.NA/88.x and deeper, where the handle is 0.NA/88
	HandlesUnder    = "handlesUnderThisPrefix" // 88/x, where the handle is 0.NA/88
)

// Permission is one thing that a key may sign.
type Permission struct {
	Perm   string // one of the four above
	Handle string // what it is about; empty for Everything
	Leaf   bool   // it may sign records so, but not certify other keys ("ca": false)
}

// PrefixPermissions is what the owner of a prefix gets from its parent: name is the prefix record, as 0.NA/88.118.
func PrefixPermissions(name string) []Permission {
	return []Permission{{Perm: ThisHandle, Handle: name}, {Perm: DerivedPrefixes, Handle: name}, {Perm: HandlesUnder, Handle: name}}
}

const prefixPrefix = "0.NA/"

// prefixOf is the prefix that a prefix record is about: 88.118 for 0.NA/88.118.
func prefixOf(name string) string {
	if len(name) > len(prefixPrefix) && strings.EqualFold(name[:len(prefixPrefix)], prefixPrefix) {
		return name[len(prefixPrefix):]
	}
	return name
}

// derived reports whether prefix lies below base; all lie below that of the root, 0.NA.
func derived(prefix, base string) bool {
	if handle.Equal(base, "0.NA") {
		return !handle.Equal(prefix, base)
	}
	return len(prefix) > len(base)+1 && prefix[len(base)] == '.' && handle.Equal(prefix[:len(base)], base)
}

// Covers reports whether the permission reaches the record name.
func (p Permission) Covers(name string) bool {
	prefix, _, slash := strings.Cut(name, "/")
	switch p.Perm {
	case Everything:
		return true
	case ThisHandle:
		return p.Handle != "" && handle.Equal(p.Handle, name)
	case DerivedPrefixes:
		return p.Handle != "" && slash && handle.Equal(prefix, "0.NA") && derived(prefixOf(name), prefixOf(p.Handle))
	case HandlesUnder:
		return p.Handle != "" && slash && handle.Equal(prefix, prefixOf(p.Handle))
	}
	return false
}

// grants reports whether who holds p may give o away: it is no more than p, or it is about a prefix below p's.
func (p Permission) grants(o Permission) bool {
	switch {
	case p.Leaf:
		return false
	case p.Perm == Everything:
		return true
	case o.Perm == p.Perm && handle.Equal(o.Handle, p.Handle):
		return true
	case o.Perm == ThisHandle && p.Covers(o.Handle):
		return true
	}
	return p.Perm == DerivedPrefixes && (o.Perm == DerivedPrefixes || o.Perm == HandlesUnder) && derived(prefixOf(o.Handle), prefixOf(p.Handle))
}

// String is the permission and its handle.
func (p Permission) String() string {
	if p.Handle == "" {
		return p.Perm
	}
	return p.Perm + " " + p.Handle
}

type permClaim struct {
	Handle string `json:"handle,omitempty"`
	Perm   string `json:"perm"`
	CA     *bool  `json:"ca,omitempty"`
}

type certClaims struct {
	Perms     []permClaim     `json:"perms"`
	PublicKey json.RawMessage `json:"publicKey"`
	Iss       string          `json:"iss"`
	Sub       string          `json:"sub"`
	Exp       *int64          `json:"exp"`
	Nbf       int64           `json:"nbf"`
	Iat       int64           `json:"iat"`
	CA        *bool           `json:"ca,omitempty"`
	Chain     []string        `json:"chain,omitempty"`
}

// Cert is an HS_CERT: its issuer says that the subject's key is Key, and what it may sign.
type Cert struct {
	Issuer, Subject record.Ref
	Key             PublicKey
	Perms           []Permission
	From, Until     time.Time
	Issued          time.Time    // zero when it does not say
	Chain           []record.Ref // where the certificates above may be found, if it says; a hint and no more

	jws *jws
}

const maxPerms = 64

// Issue makes the data of an HS_CERT value: issuer, who has key, says that subject has pub and may sign what perms
// say, between from and until (whole seconds). Errors: problem.BadValue.
func Issue(key *PrivateKey, issuer, subject record.Ref, pub PublicKey, perms []Permission, from, until time.Time) ([]byte, error) {
	exp := until.Unix()
	c := certClaims{PublicKey: pub.MarshalJWK(), Iss: refText(issuer), Sub: refText(subject), Exp: &exp, Nbf: from.Unix(), Iat: from.Unix()}
	if issuer.IsZero() || subject.IsZero() || pub.IsZero() {
		return nil, problem.New(problem.BadValue, "a certificate needs an issuer, a subject and the subject's key", "证书须有签发者、主体和主体的公钥")
	}
	if !until.After(from) || exp > maxTime {
		return nil, problem.New(problem.BadValue, "a certificate from %s until %s holds at no time", "证书有效期 %s 至 %s 不成立", from.UTC().Format(time.RFC3339), until.UTC().Format(time.RFC3339))
	}
	if len(perms) > maxPerms {
		return nil, problem.New(problem.BadValue, "the certificate has %d permissions, over the limit of %d", "证书有 %d 项权限，超过上限 %d", len(perms), maxPerms)
	}
	for _, p := range perms {
		if err := p.check(); err != nil {
			return nil, err
		}
		pc := permClaim{Handle: p.Handle, Perm: p.Perm}
		if p.Leaf {
			pc.CA = new(bool)
		}
		c.Perms = append(c.Perms, pc)
	}
	return signJWS(key, c)
}

func (p Permission) check() error {
	switch p.Perm {
	case Everything:
		return nil
	case ThisHandle, DerivedPrefixes, HandlesUnder:
		if p.Handle != "" && len(p.Handle) <= handle.MaxLen {
			return nil
		}
		return problem.New(problem.BadValue, "the permission %s must name a handle", "权限 %s 须写明标识", p.Perm)
	}
	return problem.New(problem.BadValue, "%q is no permission; take everything, thisHandle, derivedPrefixes or handlesUnderThisPrefix",
		"%q 不是权限；请用 everything、thisHandle、derivedPrefixes 或 handlesUnderThisPrefix", clip(p.Perm))
}

// ParseCert reads the data of an HS_CERT value. Nothing in it is to be believed before Verify, VerifyRoot or Admit. The
// error is of kind problem.Bogus. Permissions of unknown names are left out.
func ParseCert(data []byte) (*Cert, error) {
	j, err := parseJWS(data, "HS_CERT")
	if err != nil {
		return nil, err
	}
	bad := func(cause error, en, zh string, args ...any) (*Cert, error) {
		return nil, problem.Wrap(problem.Wrap(cause, problem.Bogus, en, zh, args...), problem.Bogus, "the HS_CERT is malformed", "HS_CERT 格式错误")
	}
	var cl certClaims
	if err := json.Unmarshal(j.payload, &cl); err != nil {
		return bad(err, "its claims are not what is expected", "声明不符合要求")
	}
	c := &Cert{jws: j}
	if c.Issuer, err = record.ParseRef(cl.Iss); err != nil || c.Issuer.IsZero() {
		return bad(err, "its issuer %q is no reference", "签发者 %q 不是引用", clip(cl.Iss))
	}
	if c.Subject, err = record.ParseRef(cl.Sub); err != nil || c.Subject.IsZero() {
		return bad(err, "its subject %q is no reference", "主体 %q 不是引用", clip(cl.Sub))
	}
	if c.Key, err = ParsePublicJWK(cl.PublicKey); err != nil {
		return bad(err, "its key cannot be used", "其公钥不可用")
	}
	if c.From, c.Until, c.Issued, err = times(cl.Nbf, cl.Exp, cl.Iat); err != nil {
		return bad(err, "its dates make no sense", "日期不成立")
	}
	if c.Chain, err = chainRefs(cl.Chain); err != nil {
		return bad(err, "its chain makes no sense", "其证书链提示不成立")
	}
	if len(cl.Perms) > maxPerms {
		return bad(nil, "it has %d permissions, over the limit of %d", "有 %d 项权限，超过上限 %d", len(cl.Perms), maxPerms)
	}
	for _, p := range cl.Perms {
		perm := Permission{Perm: p.Perm, Handle: p.Handle, Leaf: (p.CA != nil && !*p.CA) || (cl.CA != nil && !*cl.CA)}
		if p.Perm == Everything {
			perm.Handle = ""
		}
		if perm.check() == nil {
			c.Perms = append(c.Perms, perm)
		}
	}
	return c, nil
}

func times(nbf int64, exp *int64, iat int64) (from, until, issued time.Time, err error) {
	if exp == nil {
		return from, until, issued, problem.New(problem.Bogus, "it does not say until when it holds", "没有写明有效期")
	}
	var a, b, c bool
	from, a = claimTime(nbf)
	until, b = claimTime(*exp)
	issued, c = claimTime(iat)
	if !a || !b || !c {
		return from, until, issued, problem.New(problem.Bogus, "it has a date that is none", "含有无效日期")
	}
	if iat == 0 {
		issued = time.Time{}
	}
	return from, until, issued, nil
}

// refText writes a reference as claims have it: index:identifier, or the identifier alone when any index is meant.
func refText(r record.Ref) string {
	if r.Index == 0 {
		return r.Name
	}
	return r.String()
}

// sameSigner reports whether both name the same key; an index may be left open on either side.
func sameSigner(a, b record.Ref) bool { return a.Covers(b) || b.Covers(a) }

func chainRefs(texts []string) (refs []record.Ref, err error) {
	if len(texts) > maxPerms {
		return nil, problem.New(problem.Bogus, "it has %d entries, over the limit of %d", "有 %d 项，超过上限 %d", len(texts), maxPerms)
	}
	for _, s := range texts {
		r, err := record.ParseRef(s)
		if err != nil {
			return nil, err
		}
		refs = append(refs, r)
	}
	return refs, nil
}

func (c *Cert) what() string { return "HS_CERT of " + c.Subject.String() }

// Verify checks that issuer signed the certificate and that it holds at now. The error is of kind problem.Bogus and
// says what is wrong.
func (c *Cert) Verify(issuer PublicKey, now time.Time) error {
	if err := c.jws.check(issuer, c.what()); err != nil {
		return err
	}
	return checkTimes(c.From, c.Until, now, c.what())
}

// Covers reports whether the certified key may sign the record name.
func (c *Cert) Covers(name string) bool {
	for _, p := range c.Perms {
		if p.Covers(name) {
			return true
		}
	}
	return false
}

// Signs reports whether records below the prefix of the prefix record name (0.NA/88.118) are signed by this key: the
// certificate has handlesUnderThisPrefix for it, or everything.
func (c *Cert) Signs(name string) bool { return c.Covers(prefixOf(name) + "/x") }

// Admit checks a certificate that the holder of c issued: signature, dates, that it names c's subject as its issuer,
// that c may certify for its subject, and that it gives away no more than c has. c itself must have been checked
// before. The error is of kind problem.Bogus.
func (c *Cert) Admit(child *Cert, now time.Time) error {
	if !sameSigner(child.Issuer, c.Subject) {
		return problem.New(problem.Bogus, "the %s is issued by %s, not by %s who stands above it", "%s 由 %s 签发，而不是其上级 %s", child.what(), child.Issuer, c.Subject)
	}
	if err := child.Verify(c.Key, now); err != nil {
		return err
	}
	allowed := false
	for _, p := range c.Perms {
		allowed = allowed || (!p.Leaf && p.Covers(child.Subject.Name))
	}
	if !allowed {
		return problem.New(problem.Bogus, "%s may not certify keys of %s", "%s 无权为 %s 签发证书", c.Subject, child.Subject.Name)
	}
	for _, o := range child.Perms {
		ok := false
		for _, p := range c.Perms {
			ok = ok || p.grants(o)
		}
		if !ok {
			return problem.New(problem.Bogus, "the %s gives the permission %q, which its issuer %s does not have", "%s 授予权限 %q，而签发者 %s 并不具有", child.what(), o.String(), c.Subject)
		}
	}
	return nil
}

// VerifyRoot checks a certificate that one of the anchors signed; one that an anchor signed for itself must carry that
// anchor's key. The error is of kind problem.Bogus.
func VerifyRoot(anchors []PublicKey, c *Cert, now time.Time) error {
	var err error = problem.New(problem.Bogus, "no root key is configured, so nothing can be verified; give the root's public key", "没有配置根公钥，无法验证；请给出根公钥")
	for _, a := range anchors {
		if err = c.Verify(a, now); err == nil {
			if sameSigner(c.Issuer, c.Subject) && !c.Key.Equal(a) {
				return problem.New(problem.Bogus, "the %s is signed by itself, but with another key than its own", "%s 为自签名，但签名密钥与其公钥不符", c.what())
			}
			return nil
		}
	}
	return problem.Wrap(err, problem.Bogus, "the %s is signed by no root key that is trusted here", "%s 不是由受信任的根密钥所签", c.what())
}

// maxChain is how many certificates one chain may have: as many as a question may make hops.
const maxChain = record.MaxDepth + 2

// VerifyChain checks certificates from the top down (data of HS_CERT values): the first signed by one of the anchors,
// each of the others by the subject of the one before it. It returns the last, whose Covers says what its key may
// sign. The error is of kind problem.Bogus and names the certificate at fault.
func VerifyChain(anchors []PublicKey, now time.Time, certs ...[]byte) (*Cert, error) {
	if len(certs) == 0 {
		return nil, problem.New(problem.Bogus, "the chain has no certificate", "证书链为空")
	}
	if len(certs) > maxChain {
		return nil, problem.New(problem.Bogus, "the chain has %d certificates, over the limit of %d", "证书链有 %d 张证书，超过上限 %d", len(certs), maxChain)
	}
	var last *Cert
	for i, data := range certs {
		c, err := ParseCert(data)
		if err == nil {
			if i == 0 {
				err = VerifyRoot(anchors, c, now)
			} else {
				err = last.Admit(c, now)
			}
		}
		if err != nil {
			return nil, problem.Wrap(err, problem.Bogus, "certificate %d of the chain does not hold", "证书链中第 %d 张证书不成立", i+1)
		}
		last = c
	}
	return last, nil
}
