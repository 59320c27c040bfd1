package node

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
)

// A node's folder:
//
//	keys/node.pem     the server's key: signed messages, and TLS; stands in the HS_SITE
//	keys/tls.pem      a P-256 key for TLS, when the server's is SM2, which international TLS does not know
//	keys/prefix.pem   the prefix's key: signs records and delegations, and is the first administrator; all sites
//	                  of one prefix share it
//	hints.json        where the root is and what its key is
//	store/            the records
//
// An attacker who can read keys/prefix.pem can sign for the prefix until its parent replaces the delegation; one who
// can write hints.json can make this node believe in another root; one who can write store/ can change what an
// authoritative node says, but not what its parents signed.
const (
	nodeKeyFile   = "keys/node.pem"
	tlsKeyFile    = "keys/tls.pem"
	prefixKeyFile = "keys/prefix.pem"
)

// NodeKeyPath and PrefixKeyPath are where the keys of a node with this data folder lie.
func NodeKeyPath(data string) string   { return filepath.Join(data, nodeKeyFile) }
func PrefixKeyPath(data string) string { return filepath.Join(data, prefixKeyFile) }

// EnsureKey reads the private key in path, or makes one there. Nobody else may read the file.
func EnsureKey(path string, alg trust.Algorithm) (*trust.PrivateKey, error) {
	b, err := os.ReadFile(path)
	switch {
	case err == nil:
		k, err := trust.ParsePrivatePEM(b, nil)
		if err != nil {
			return nil, problem.Wrap(err, problem.BadRequest, "the key file %s cannot be used", "密钥文件 %s 无法使用", path)
		}
		return k, nil
	case !os.IsNotExist(err):
		return nil, problem.Wrap(err, problem.Internal, "cannot read the key file %s", "无法读取密钥文件 %s", path)
	}
	k, err := trust.Generate(alg, nil)
	if err != nil {
		return nil, err
	}
	pem, err := k.MarshalPEM()
	if err != nil {
		return nil, err
	}
	if err := WriteFile(path, pem); err != nil {
		return nil, err
	}
	return k, nil
}

// WriteFile puts data at path so that it appears at once and whole, survives a crash, and is the owner's alone to read.
func WriteFile(path string, data []byte) error {
	fail := func(err error) error {
		return problem.Wrap(err, problem.Internal, "cannot write %s; check the folder's rights and free space", "无法写入 %s；请检查目录权限与剩余空间", path)
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(data); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fail(err)
	}
	if d, err := os.Open(dir); err == nil {
		d.Sync() // the name, too; not every system can
		d.Close()
	}
	return nil
}

// Hints say where the root service is and which keys are the root's: all that a node must be told to find everything
// else and to check it.
type Hints struct {
	Anchors []trust.PublicKey
	Sites   []*record.Site
}

// hintsFile is the JSON form: keys in PEM, sites as values of type HS_SITE in the JSON form of Handle.Net.
type hintsFile struct {
	Keys  []string        `json:"keys"`
	Sites json.RawMessage `json:"sites"`
	// Unchecked must be said when there is no key: then nothing can be proved, and answers say so.
	Unchecked bool `json:"unchecked,omitempty"`
}

// ReadHints reads a hints file.
func ReadHints(path string) (*Hints, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "cannot read the root hints; ask the operator above for their hints.json, and put it at %s",
			"无法读取根提示文件；请向上级运营者索取 hints.json，放到 %s", path)
	}
	bad := func(err error) error {
		return problem.Wrap(err, problem.BadRequest, "the root hints in %s are damaged; fetch them again", "根提示文件 %s 已损坏；请重新获取", path)
	}
	var f hintsFile
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, bad(err)
	}
	var h Hints
	for _, k := range f.Keys {
		key, err := trust.ParsePublicPEM([]byte(k))
		if err != nil {
			return nil, bad(err)
		}
		h.Anchors = append(h.Anchors, key)
	}
	vs, err := record.ParseValuesJSON(f.Sites)
	if err != nil {
		return nil, bad(err)
	}
	for i := range vs {
		s, err := record.DecodeSite(vs[i].Data)
		if err != nil {
			return nil, bad(err)
		}
		h.Sites = append(h.Sites, s)
	}
	if len(h.Anchors) == 0 && !f.Unchecked || len(h.Sites) == 0 {
		return nil, bad(problem.New(problem.BadRequest, "it names no site, or no key and does not say \"unchecked\": true", "其中没有站点，或没有密钥且未写明 \"unchecked\": true"))
	}
	return &h, nil
}

// Write writes a hints file.
func (h *Hints) Write(path string) error {
	var f hintsFile
	for _, k := range h.Anchors {
		f.Keys = append(f.Keys, string(k.MarshalPEM()))
	}
	var vs []record.Value
	for i, s := range h.Sites {
		vs = append(vs, record.Value{Index: uint32(i + 1), Type: record.TypeSite, Data: record.AppendSite(nil, s),
			Perm: record.DefaultPerm, TTL: record.TTL{Seconds: record.DefaultTTL}})
	}
	f.Sites = record.AppendValuesJSON(nil, vs)
	b, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return err
	}
	return WriteFile(path, append(b, '\n'))
}

// EnsureServerKeys are a node's server key and the key that its TLS connections show, made when there are none: the same,
// or a P-256 key where TLS cannot take the first.
func EnsureServerKeys(data string, alg trust.Algorithm) (server, tls *trust.PrivateKey, err error) {
	if server, err = EnsureKey(NodeKeyPath(data), alg); err != nil {
		return nil, nil, err
	}
	if server.Algorithm() != trust.SM2 {
		return server, server, nil
	}
	tls, err = EnsureKey(filepath.Join(data, tlsKeyFile), trust.P256)
	return server, tls, err
}
