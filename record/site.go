package record

import (
	"crypto/md5"
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
)

// Site is what HS_SITE says: a group of servers that together hold the records of a prefix (RFC 3651 §3.2.2):
//
//	u16 version | u8 major, u8 minor | u16 serial | u8 0x80 primary 0x40 several primaries | u8 hash | bytes filter
//	 | u32 n, n × { str name, str value }
//	 | u32 n, n × { u32 id | 16 bytes address | bytes key | u32 n, n × { u8 1 admin 2 query | u8 protocol | u32 port } }
//
// An IPv4 address stands in the last four of the sixteen bytes, behind zeros.
type Site struct {
	Version      uint16 // of the data format; 1
	Major, Minor uint8  // protocol spoken
	Serial       uint16 // goes up with every change; messages carry it so that askers notice
	Primary      bool   // takes changes
	MultiPrimary bool   // beside other primaries
	Hash         HashOption
	HashFilter   []byte
	Attributes   []Attribute
	Servers      []Server
}

// Attribute is a named text of a Site: desc, domain, alt_addr, …
type Attribute struct{ Name, Value string }

// Server is one server of a Site.
type Server struct {
	ID         uint32
	Addr       netip.Addr
	PublicKey  []byte // in HS_PUBKEY form; empty if it has none
	Interfaces []Interface
}

// Interface is one way into a Server.
type Interface struct {
	Admin, Query bool
	Protocol     Protocol
	Port         uint32
}

// HashOption says which part of an identifier decides the server within a site.
type HashOption uint8

const (
	HashPrefix HashOption = iota
	HashSuffix
	HashAll
)

// Attribute is the first value under name, letters of either case; empty when there is none.
func (s *Site) Attribute(name string) string {
	for _, a := range s.Attributes {
		if handle.Equal(a.Name, name) {
			return a.Value
		}
	}
	return ""
}

// AppendSite appends the binary form.
func AppendSite(dst []byte, s *Site) []byte {
	dst = binary.BigEndian.AppendUint16(dst, s.Version)
	dst = append(dst, s.Major, s.Minor)
	dst = binary.BigEndian.AppendUint16(dst, s.Serial)
	var mask byte
	if s.Primary {
		mask |= 0x80
	}
	if s.MultiPrimary {
		mask |= 0x40
	}
	dst = append(dst, mask, byte(s.Hash))
	dst = AppendString(dst, s.HashFilter)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s.Attributes)))
	for _, a := range s.Attributes {
		dst = AppendString(dst, a.Name)
		dst = AppendString(dst, a.Value)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(s.Servers)))
	for _, v := range s.Servers {
		dst = binary.BigEndian.AppendUint32(dst, v.ID)
		var a [16]byte
		switch {
		case v.Addr.Is4() || v.Addr.Is4In6():
			b := v.Addr.As4()
			copy(a[12:], b[:])
		case v.Addr.Is6():
			a = v.Addr.As16()
		}
		dst = append(dst, a[:]...)
		dst = AppendString(dst, v.PublicKey)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Interfaces)))
		for _, i := range v.Interfaces {
			var t byte
			if i.Admin {
				t |= 1
			}
			if i.Query {
				t |= 2
			}
			dst = append(dst, t, byte(i.Protocol))
			dst = binary.BigEndian.AppendUint32(dst, i.Port)
		}
	}
	return dst
}

// DecodeSite reads the binary form. The error is of kind problem.BadValue.
func DecodeSite(b []byte) (*Site, error) {
	r := NewReader(b)
	s := &Site{Version: r.U16(), Major: r.U8(), Minor: r.U8(), Serial: r.U16()}
	mask := r.U8()
	s.Primary, s.MultiPrimary = mask&0x80 != 0, mask&0x40 != 0
	s.Hash = HashOption(r.U8())
	if s.Hash > HashAll {
		r.Fail("hash option %d is none of 0, 1, 2", "散列选项 %d 不是 0、1、2 之一", s.Hash)
	}
	s.HashFilter = clone(r.Bytes(MaxData))
	if n := r.Count(MaxValues, 8); n > 0 {
		s.Attributes = make([]Attribute, n)
		for i := range s.Attributes {
			s.Attributes[i] = Attribute{r.String(MaxData), r.String(MaxData)}
		}
	}
	if n := r.Count(MaxValues, 28); n > 0 {
		s.Servers = make([]Server, n)
		for i := range s.Servers {
			r.server(&s.Servers[i])
		}
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes too many", "多出 %d 字节", r.Len())
	}
	if r.Err() != nil {
		return nil, malformed(r.Err(), TypeSite)
	}
	return s, nil
}

func (r *Reader) server(v *Server) {
	v.ID = r.U32()
	if p := r.Take(16); p != nil {
		v.Addr = siteAddr([16]byte(p))
	}
	v.PublicKey = clone(r.Bytes(MaxData))
	n := r.Count(MaxRefs, 6)
	if n == 0 {
		return
	}
	v.Interfaces = make([]Interface, n)
	for i := range v.Interfaces {
		t := r.U8()
		v.Interfaces[i] = Interface{Admin: t&1 != 0, Query: t&2 != 0, Protocol: Protocol(r.U8()), Port: r.U32()}
	}
}

// siteAddr takes twelve zeros as the mark of an IPv4 address. 0.0.0.1 is no host's address, so those bytes are ::1.
func siteAddr(a [16]byte) netip.Addr {
	if [12]byte(a[:12]) == [12]byte{} && a != netip.IPv6Loopback().As16() {
		return netip.AddrFrom4([4]byte(a[12:]))
	}
	return netip.AddrFrom16(a).Unmap()
}

// Endpoints is the ways to put questions to the server, or with admin to change things on it: UDP before TCP before
// HTTP before HTTPS. Interfaces of unknown protocols and impossible ports are left out.
func (s *Server) Endpoints(admin bool) []Endpoint {
	var es []Endpoint
	for _, i := range s.Interfaces {
		if (admin && !i.Admin) || (!admin && !i.Query) || i.Protocol > HTTPS || i.Port == 0 || i.Port > 65535 {
			continue
		}
		es = append(es, Endpoint{netip.AddrPortFrom(s.Addr, uint16(i.Port)), i.Protocol, s.PublicKey})
	}
	slices.SortStableFunc(es, func(a, b Endpoint) int { return int(a.Protocol) - int(b.Protocol) })
	return es
}

// Pick is the server of the site that holds name; nil when the site has none.
func (s *Site) Pick(name string) *Server {
	if len(s.Servers) == 0 {
		return nil
	}
	if len(s.Servers) == 1 {
		return &s.Servers[0]
	}
	return &s.Servers[HashHandle(s.Hash, name)%uint32(len(s.Servers))]
}

// HashHandle is the number that decides, modulo the servers of a site, which of them holds name: the absolute value of
// the last four bytes, as a signed number, of the MD5 of the folded part that option names. A name without a slash
// counts as suffix, under the prefix 0.NA.
func HashHandle(option HashOption, name string) uint32 {
	part := name
	prefix, suffix, ok := strings.Cut(name, "/")
	switch {
	case option == HashPrefix && ok:
		part = prefix
	case option == HashPrefix:
		part = "0.NA"
	case option == HashSuffix && ok:
		part = suffix
	}
	var room [128]byte
	sum := md5.Sum(handle.AppendFold(room[:0], part))
	h := int32(binary.BigEndian.Uint32(sum[12:]))
	if h < 0 {
		return uint32(-int64(h))
	}
	return uint32(h)
}

// malformed says that the data of a value of type typ is not in that type's form.
func malformed(cause error, typ string) error {
	return problem.Wrap(cause, problem.BadValue,
		"the data is not in the form of %s; send it in that form, or with format hex exactly as it should be kept",
		"数据不符合 %s 的格式；请按该格式提交", typ)
}

func clone(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return append([]byte(nil), b...)
}
