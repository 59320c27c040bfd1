package record

import (
	"encoding/binary"

	"github.com/fujie-id/fujie/problem"
)

// Admin is what HS_ADMIN says: an identity, or a group of them in HS_VLIST, and what they may do (RFC 3651 §3.2.1):
//
//	u16 permissions | str handle | u32 index
type Admin struct {
	Perms AdminPerm
	Ref
}

// AdminPerm is a set of things that an administrator may do.
type AdminPerm uint16

const (
	AddHandle     AdminPerm = 1 << iota // create records under the prefix
	DeleteHandle                        // delete the record
	AddDerived                          // create prefixes below (RFC: ADD_NA)
	DeleteDerived                       // delete prefixes below
	ModifyValue
	RemoveValue
	AddValue
	ModifyAdmin // modify HS_ADMIN values
	RemoveAdmin
	AddAdmin
	ReadValue   // read values that are not public
	ListHandles // list the names under the prefix
	ListDerived // list the prefixes below

	// AllPerms is every permission that deployed software knows: "011111111111" and LIST_HANDLES.
	AllPerms AdminPerm = 1<<12 - 1
)

// String is the JSON form: twelve digits, LIST_HANDLES leftmost and ADD_HANDLE last; thirteen when ListDerived is set.
func (p AdminPerm) String() string {
	var b [16]byte
	return string(p.append(b[:0]))
}

func (p AdminPerm) append(dst []byte) []byte {
	digits := 12
	for p>>digits != 0 {
		digits++
	}
	for i := digits - 1; i >= 0; i-- {
		dst = append(dst, '0'+byte(p>>i&1))
	}
	return dst
}

// ParseAdminPerm reads the JSON form: 1 to 16 binary digits, ADD_HANDLE last. (Batch files of Handle.Net write the same
// digits the other way round.) The error is of kind problem.BadValue.
func ParseAdminPerm(s string) (AdminPerm, error) {
	if s == "" || len(s) > 16 {
		return 0, badAdminPerm(s)
	}
	var p AdminPerm
	for i := 0; i < len(s); i++ {
		if s[i] != '0' && s[i] != '1' {
			return 0, badAdminPerm(s)
		}
		p = p<<1 | AdminPerm(s[i]-'0')
	}
	return p, nil
}

func badAdminPerm(s string) error {
	return problem.New(problem.BadValue,
		"%q is no set of administrator permissions; write twelve binary digits as in 011111111111, LIST_HANDLES first, ADD_HANDLE last",
		"%q 不是管理员权限；请写成十二位二进制数字，例如 011111111111，最左为 LIST_HANDLES，最右为 ADD_HANDLE", s)
}

// AppendAdmin appends the binary form.
func AppendAdmin(dst []byte, a Admin) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(a.Perms))
	dst = AppendString(dst, a.Name)
	return binary.BigEndian.AppendUint32(dst, a.Index)
}

// DecodeAdmin reads the binary form, with the two zero bytes behind it that old writers put there or without. The
// error is of kind problem.BadValue.
func DecodeAdmin(b []byte) (Admin, error) {
	r := NewReader(b)
	a := Admin{Perms: AdminPerm(r.U16())}
	a.Name = r.String(MaxData)
	a.Index = r.U32()
	switch rest := string(r.Rest()); {
	case r.Err() != nil:
		return Admin{}, malformed(r.Err(), TypeAdmin)
	case rest != "" && rest != "\x00\x00":
		r.Fail("%d bytes too many", "多出 %d 字节", len(rest))
		return Admin{}, malformed(r.Err(), TypeAdmin)
	}
	return a, nil
}

// AppendVList appends the binary form of HS_VLIST, a list of identities: u32 n, n × { str handle | u32 index }.
func AppendVList(dst []byte, refs []Ref) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(refs)))
	for _, r := range refs {
		dst = AppendString(dst, r.Name)
		dst = binary.BigEndian.AppendUint32(dst, r.Index)
	}
	return dst
}

// DecodeVList reads the binary form of HS_VLIST. The error is of kind problem.BadValue.
func DecodeVList(b []byte) ([]Ref, error) {
	r := NewReader(b)
	var refs []Ref
	if n := r.Count(MaxData/8, 8); n > 0 {
		refs = make([]Ref, n)
		for i := range refs {
			refs[i].Name = r.String(MaxData)
			refs[i].Index = r.U32()
		}
	}
	if r.Err() == nil && r.Len() > 0 {
		r.Fail("%d bytes too many", "多出 %d 字节", r.Len())
	}
	if r.Err() != nil {
		return nil, malformed(r.Err(), TypeVList)
	}
	return refs, nil
}
