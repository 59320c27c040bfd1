package registry

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"sort"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/store"
	"github.com/fujie-id/fujie/trust"
)

// Where things stand in a prefix record. Readers go by the types; people find their way by the numbers.
const (
	IndexSite      = 1   // to 10: HS_SITE, one for each site
	IndexBelow     = 11  // to 20: HS_SITE.PREFIX, the sites that keep the records of prefixes below
	IndexAdmin     = 100 // HS_ADMIN
	IndexKey       = 300 // HS_PUBKEY; during a key roll the old and the new key stand side by side, at 300 and 301
	IndexCert      = 400 // HS_CERT for the key at 300; for others the next free index
	IndexSignature = 401 // HS_SIGNATURE

	maxSites = 10
)

// Delegation is what makes a prefix somebody's: where its records are, whose signature holds for them, who may change
// the delegation.
type Delegation struct {
	Prefix string            // 88.118; 0.NA is the root's
	Sites  []*record.Site    // the primary and its mirrors, at most 10
	Below  []*record.Site    // who keeps the records of prefixes below; nil: the same sites
	Keys   []trust.PublicKey // none: nothing below is signed
	Admins []record.Admin    // none: the holder of the first key, with all permissions
	TTL    uint32            // of every value in seconds; record.DefaultTTL if 0
}

// Values are the values of the prefix record that says so, to be registered by whoever keeps the prefix above, who
// signs them. Errors: problem.BadValue.
func (d *Delegation) Values() ([]record.Value, error) {
	name := id.PrefixRecord(d.Prefix).String()
	if d.Prefix == "" || len(d.Sites) > maxSites || len(d.Below) > maxSites || len(d.Keys) > maxSites {
		return nil, problem.New(problem.BadValue, "a delegation names a prefix and takes at most %d sites and keys", "授权须写明前缀，且站点与密钥各不超过 %d 个", maxSites)
	}
	ttl := d.TTL
	if ttl == 0 {
		ttl = record.DefaultTTL
	}
	var vs []record.Value
	add := func(index uint32, typ string, data []byte) {
		vs = append(vs, record.Value{Index: index, Type: typ, Data: data, TTL: record.TTL{Seconds: ttl}, Perm: record.DefaultPerm})
	}
	below := d.Below
	if below == nil {
		below = d.Sites
	}
	for i, s := range d.Sites {
		typ := record.TypeSite
		if isIPv6(s) {
			typ = record.TypeSite6
		}
		add(IndexSite+uint32(i), typ, record.AppendSite(nil, s))
	}
	for i, s := range below {
		add(IndexBelow+uint32(i), record.TypeSitePrefix, record.AppendSite(nil, s))
	}
	admins := d.Admins
	if len(admins) == 0 && len(d.Keys) > 0 {
		admins = []record.Admin{{Perms: record.AllPerms, Ref: record.Ref{Index: IndexKey, Name: name}}}
	}
	for i, a := range admins {
		add(IndexAdmin+uint32(i), record.TypeAdmin, record.AppendAdmin(nil, a))
	}
	for i, k := range d.Keys {
		add(IndexKey+uint32(i), record.TypePubKey, k.Data())
	}
	return vs, record.CheckAll(vs)
}

func isIPv6(s *record.Site) bool {
	for i := range s.Servers {
		if a := s.Servers[i].Addr; a.IsValid() && !a.Unmap().Is4() && a != netip.IPv6Unspecified() {
			return true
		}
	}
	return false
}

// Bootstrap begins a tree: this node answers for the root, whose record 0.NA/0.NA says so and is signed by its own key,
// which Config.Keys must hold under the prefix 0.NA. An older root record is replaced.
func (r *Registry) Bootstrap(ctx context.Context, d Delegation) error {
	d.Prefix = rootPrefix
	if _, ok := r.keyFor(id.Root); !ok {
		return problem.New(problem.BadRequest, "there is no signing key for the prefix 0.NA: make one (fujie key new) and name it in the configuration",
			"没有前缀 0.NA 的签名密钥：请生成（fujie key new）并写入配置")
	}
	vs, err := d.Values()
	if err != nil {
		return err
	}
	return r.operate(ctx, record.Write{Op: record.Home, ID: id.Root}, record.Write{Op: record.Create, ID: id.Root, Values: vs, Overwrite: true})
}

// operate writes as the node's operator and gives the first error.
func (r *Registry) operate(ctx context.Context, writes ...record.Write) error {
	results, err := r.Write(ctx, record.Identity{Operator: true}, writes)
	for i := range results {
		if err == nil {
			err = results[i].Err
		}
	}
	return err
}

// SetKeys changes the signing keys, for a key roll: register the new public key at 301 beside the old one, put the new
// key before the old one here, and take the old public key out once what it signed has run out.
func (r *Registry) SetKeys(keys []SigningKey) {
	ring := &keyring{of: make(map[string]signer, len(keys)), own: make(map[record.Ref]bool, len(keys))}
	for _, k := range keys {
		if k.Key == nil {
			continue
		}
		k.Prefix = prefixOf(k.Prefix)
		ring.own[folded(k.Ref)] = true
		if _, ok := ring.of[k.Prefix]; !ok {
			mark := sha256.Sum256(append([]byte(k.Ref.String()+"\x00"), k.Key.Public().Data()...))
			ring.of[k.Prefix] = signer{k, [8]byte(mark[:8])}
		}
	}
	r.keys.Store(ring)
}

// keyring is the signing keys: those that sign, and where all of them are registered.
type keyring struct {
	of  map[string]signer
	own map[record.Ref]bool
}

type signer struct {
	SigningKey
	mark [8]byte // tells its signatures from those of a key before it
}

func folded(r record.Ref) record.Ref { return record.Ref{Index: r.Index, Name: handle.Fold(r.Name)} }

// keyFor is the key that signs rec: that of its prefix; for a prefix record, that of the nearest prefix above; for the
// root's, its own.
func (r *Registry) keyFor(rec id.ID) (signer, bool) {
	ring := r.keys.Load()
	if len(ring.of) == 0 {
		return signer{}, false
	}
	p, isPrefix := rec.Delegated()
	if !isPrefix {
		k, ok := ring.of[rec.Prefix()]
		return k, ok
	}
	if p == rootPrefix {
		k, ok := ring.of[rootPrefix]
		return k, ok
	}
	for p = id.ParentPrefix(p); p != ""; p = id.ParentPrefix(p) {
		if k, ok := ring.of[p]; ok {
			return k, true
		}
	}
	return signer{}, false
}

// skew is how far apart the clocks of this node and of those who check may be.
const skew = time.Hour

// prove makes the signature over what anybody may read of a record.
func (r *Registry) prove(k signer, rec id.ID, vs []record.Value, now time.Time) (record.Value, error) {
	data, err := trust.SignRecord(k.Key, k.Ref, rec.String(), vs, trust.SignOptions{PublicOnly: true, From: now.Add(-skew), Until: now.Add(r.cfg.SignFor)})
	if err != nil {
		return record.Value{}, err
	}
	ttl := min(record.DefaultTTL, uint32(r.cfg.SignFor/2/time.Second))
	return record.Value{Index: free(vs, IndexSignature, IndexSignature+1), Type: record.TypeSignature, Data: data,
		TTL: record.TTL{Seconds: ttl}, Perm: record.DefaultPerm}, nil
}

// proofHolds reports whether a signature made elsewhere is not yet over.
func proofHolds(sig *record.Value, now time.Time) bool {
	s, err := trust.ParseSignature(sig.Data)
	return err == nil && now.Before(s.Until)
}

// free is the index want if vs has no value there, else the first from on that is free.
func free(vs []record.Value, want, from uint32) uint32 {
	if !has(vs, want) {
		return want
	}
	for has(vs, from) {
		from++
	}
	return from
}

// endorse puts the certificates and the signature into a prefix record that is about to be stored, where this node has
// the key of the prefix above. What is there already and holds long enough stays.
func (r *Registry) endorse(rec id.ID, vs []record.Value, now time.Time) ([]record.Value, error) {
	p, isPrefix := rec.Delegated()
	if !isPrefix {
		return vs, nil
	}
	k, ok := r.keyFor(rec)
	if !ok {
		return vs, nil
	}
	late := now.Add(r.cfg.CertFor / 3)
	stamp := func(index uint32, typ string, data []byte) record.Value {
		return record.Value{Index: index, Type: typ, Data: data, TTL: record.TTL{Seconds: record.DefaultTTL}, Perm: record.DefaultPerm, Timestamp: uint32(now.Unix())}
	}

	subjects := map[uint32]trust.PublicKey{} // keys of the record that want a certificate
	for i := range vs {
		if v := &vs[i]; v.Type == record.TypePubKey && v.Index >= IndexKey && v.Index < IndexAdminKey {
			pub, err := trust.ParsePublic(v.Data)
			if err != nil {
				return nil, problem.Wrap(err, problem.BadValue, "the public key at index %d of %s cannot be certified", "%[2]s 索引 %[1]d 处的公钥无法签发证书", v.Index, clip(rec.String()))
			}
			subjects[v.Index] = pub
		}
	}
	var out, sigs []record.Value
	reuse := map[uint32]uint32{} // subject's index → where its old certificate stood
	for i := range vs {
		v := vs[i]
		switch v.Type {
		case record.TypeCert:
			c, err := trust.ParseCert(v.Data)
			if err == nil && r.isOwn(c.Issuer) {
				pub, wanted := subjects[c.Subject.Index]
				wanted = wanted && handle.Equal(c.Subject.Name, rec.String())
				if !wanted {
					continue
				}
				if !c.Issuer.Same(k.Ref) || c.Verify(k.Key.Public(), now) != nil || c.Until.Before(late) || !c.Key.Equal(pub) {
					reuse[c.Subject.Index] = v.Index
					continue
				}
				delete(subjects, c.Subject.Index)
			}
		case record.TypeSignature:
			if s, err := trust.ParseSignature(v.Data); err != nil || r.isOwn(s.Issuer) {
				sigs = append(sigs, v)
				continue
			}
		}
		out = append(out, v)
	}
	perms := trust.PrefixPermissions(rec.String())
	if p == rootPrefix {
		perms = []trust.Permission{{Perm: trust.Everything}}
	}
	order := make([]uint32, 0, len(subjects))
	for i := range subjects {
		order = append(order, i)
	}
	sort.Slice(order, func(i, j int) bool { return order[i] < order[j] })
	for _, i := range order {
		data, err := trust.Issue(k.Key, k.Ref, record.Ref{Index: i, Name: rec.String()}, subjects[i], perms, now.Add(-skew), now.Add(r.cfg.CertFor))
		if err != nil {
			return nil, err
		}
		at, known := reuse[i]
		if !known || has(out, at) {
			at = free(out, IndexCert, IndexSignature+1)
		}
		out = append(out, stamp(at, record.TypeCert, data))
	}
	at := free(out, IndexSignature, IndexSignature+1)
	for _, v := range sigs {
		s, err := trust.ParseSignature(v.Data)
		if err != nil || !s.Issuer.Same(k.Ref) {
			continue
		}
		if s.Public && !s.Until.Before(late) && s.Verify(k.Key.Public(), now) == nil && s.CheckValues(rec.String(), public(out), true) == nil {
			return append(out, v), nil
		}
		if !has(out, v.Index) {
			at = v.Index
		}
	}
	data, err := trust.SignRecord(k.Key, k.Ref, rec.String(), out, trust.SignOptions{PublicOnly: true, From: now.Add(-skew), Until: now.Add(r.cfg.CertFor)})
	if err != nil {
		return nil, err
	}
	return append(out, stamp(at, record.TypeSignature, data)), nil
}

// IndexAdminKey ends the indexes at which a public key of a prefix record is one that signs for the prefix and gets a
// certificate. Keys of people who administer it stand at this index and above, and sign nothing.
const IndexAdminKey = 310

func (r *Registry) isOwn(issuer record.Ref) bool { return r.keys.Load().own[folded(issuer)] }

func public(vs []record.Value) []record.Value {
	out := vs[:0:0]
	for i := range vs {
		if vs[i].Perm&record.PublicRead != 0 {
			out = append(out, vs[i])
		}
	}
	return out
}

// Renew signs anew what Config.Keys signed and what has less than a third of its life left, or was signed by a key that
// is no longer the first of its prefix. It returns how many prefix records it changed. Call it once a day.
func (r *Registry) Renew(ctx context.Context) (int, error) {
	var due []record.Write
	now := r.cfg.Now()
	err := r.store.Range(ctx, store.Under(under(rootPrefix, "")), func(key, value []byte) error {
		rec, err := idOf(key)
		if err != nil {
			return damaged("a stored name is no identifier", "存储的名称不是标识")
		}
		if _, ok := r.keyFor(rec); !ok {
			return nil
		}
		vs, err := storedValues(value)
		if err != nil {
			return err
		}
		fresh, err := r.endorse(rec, vs, now)
		if err == nil && !sameBlock(vs, fresh) {
			due = append(due, record.Write{Op: record.Modify, ID: rec})
		}
		return nil
	})
	if err != nil {
		return 0, storeProblem(err)
	}
	n := 0
	for len(due) > 0 {
		part := due[:min(len(due), maxGroup)]
		due = due[len(part):]
		results, err := r.Write(ctx, record.Identity{Operator: true}, part)
		if err != nil {
			return n, err
		}
		for _, res := range results {
			if res.Err == nil {
				n++
			}
		}
	}
	return n, nil
}

func sameBlock(a, b []record.Value) bool {
	if len(a) != len(b) {
		return false
	}
	return string(record.AppendBlock(nil, a)) == string(record.AppendBlock(nil, b))
}
