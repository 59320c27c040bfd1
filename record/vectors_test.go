package record_test

import (
	"bufio"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/fujie-id/fujie/record"
)

// vectors is the shared file of bytes that deployed software wrote: what stands under each "## title".
func vectors(t *testing.T) map[string][]string {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "..", "shared", "data", "irp-vectors", "vectors.txt"))
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer f.Close()
	m := map[string][]string{}
	title := ""
	for s := bufio.NewScanner(f); s.Scan(); {
		if after, ok := strings.CutPrefix(s.Text(), "## "); ok {
			title = after
		} else {
			m[title] = append(m[title], s.Text())
		}
	}
	return m
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVectorValues(t *testing.T) {
	all := vectors(t)
	for _, title := range []string{
		"HandleValue idx1 URL ttl86400 rwr-  ts 1700000000",
		"HandleValue idx7 DESC absolute ttl 1800000000 perms rw-- one reference 3:a/b",
	} {
		b := unhex(t, all[title][0])
		v, rest, err := record.DecodeValue(b)
		if err != nil || len(rest) != 0 {
			t.Fatal(title, err, rest)
		}
		if got := record.AppendValue(nil, &v); hex.EncodeToString(got) != all[title][0] {
			t.Errorf("%s: %x", title, got)
		}
		if v.Timestamp != 1700000000 {
			t.Errorf("%s: timestamp %d", title, v.Timestamp)
		}
	}
}

func TestVectorAdminAndVList(t *testing.T) {
	all := vectors(t)
	text := all["HS_ADMIN data 200:88.111.1/ADMIN perms 011111111111"][0]
	a, err := record.DecodeAdmin(unhex(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if a.Perms.String() != "011111111111" || a.Ref.String() != "200:88.111.1/ADMIN" {
		t.Errorf("%v %v", a.Perms, a.Ref)
	}
	if got := hex.EncodeToString(record.AppendAdmin(nil, a)); got != text {
		t.Errorf("%s", got)
	}
	if old, err := record.DecodeAdmin(unhex(t, text+"0000")); err != nil || old != a {
		t.Errorf("with two zero bytes: %v %v", old, err)
	}

	text = all["HS_VLIST data"][0]
	refs, err := record.DecodeVList(unhex(t, text))
	if err != nil || len(refs) != 2 || refs[0].String() != "300:88.111.1/ADMIN" || refs[1].Index != 301 {
		t.Fatal(refs, err)
	}
	if got := hex.EncodeToString(record.AppendVList(nil, refs)); got != text {
		t.Errorf("%s", got)
	}
}

func TestVectorSite(t *testing.T) {
	text := vectors(t)["HS_SITE data (pubkey bytes 010203)"][0]
	s, err := record.DecodeSite(unhex(t, text))
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(record.AppendSite(nil, s)); got != text {
		t.Errorf("%s", got)
	}
	if !s.Primary || s.MultiPrimary || s.Serial != 1 || s.Major != 2 || s.Minor != 11 || s.Hash != record.HashAll ||
		s.Attribute("DESC") != "x" || len(s.Servers) != 1 || s.Servers[0].Addr.String() != "127.0.0.1" {
		t.Errorf("%+v", s)
	}
	var got []string
	for _, e := range s.Servers[0].Endpoints(false) {
		got = append(got, e.String())
	}
	if g := strings.Join(got, " "); g != "udp:127.0.0.1:2641 tcp:127.0.0.1:2641 http:127.0.0.1:8000" {
		t.Error(g)
	}
	if es := s.Servers[0].Endpoints(true); len(es) != 2 || es[0].Protocol != record.TCP || string(es[0].Key) != "\x01\x02\x03" {
		t.Error(es)
	}
}

func TestVectorHash(t *testing.T) {
	lines := vectors(t)["hash: handle | byPrefix | bySuffix | byAll"]
	n := 0
	for _, line := range lines {
		f := strings.Split(line, " | ")
		if len(f) != 4 {
			continue
		}
		n++
		for i, opt := range []record.HashOption{record.HashPrefix, record.HashSuffix, record.HashAll} {
			want, _ := strconv.ParseUint(f[i+1], 10, 32)
			if got := record.HashHandle(opt, f[0]); got != uint32(want) {
				t.Errorf("%s, option %d: %d, want %d", f[0], opt, got, want)
			}
		}
	}
	if n < 6 {
		t.Errorf("%d lines of hashes", n)
	}
}

func TestVectorDHKey(t *testing.T) {
	for _, line := range vectors(t)["DH session known answer (client x=0x11..(64 digits), server x=0x22.., Oakley group 2, g=2)"] {
		text, ok := strings.CutPrefix(line, "client DH_PUB_KEY bytes ")
		if !ok {
			continue
		}
		k, err := record.DecodeKey(unhex(t, text))
		if err != nil || k.Type != record.KeyDH || len(k.Fields) != 3 || string(k.Fields[2]) != "\x02" {
			t.Fatalf("%v %v", k, err)
		}
		if got := hex.EncodeToString(record.AppendKey(nil, k)); got != text {
			t.Errorf("%s", got)
		}
		return
	}
	t.Error("no DH key among the vectors")
}
