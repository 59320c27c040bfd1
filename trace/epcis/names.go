package epcis

import "iter"

// Role is the part that an identifier plays in an event.
type Role uint8

// The roles of things. Those of classes carry a quantity.
const (
	RoleEPC         Role = iota // epcList of Object and Transaction events
	RoleParent                  // parentID
	RoleChild                   // childEPCs
	RoleInput                   // inputEPCList
	RoleOutput                  // outputEPCList
	RoleEPCClass                // epcClass in a quantityList
	RoleChildClass              // epcClass in a childQuantityList
	RoleInputClass              // epcClass in an inputQuantityList
	RoleOutputClass             // epcClass in an outputQuantityList
)

var roleNames = [...]string{"epc", "parentID", "childEPC", "inputEPC", "outputEPC", "epcClass", "childEPCClass", "inputEPCClass", "outputEPCClass"}

// String is the role's name in the standard's words.
func (r Role) String() string {
	if int(r) < len(roleNames) {
		return roleNames[r]
	}
	return "role"
}

// IsClass says whether names of the role are classes with a quantity, not single things.
func (r Role) IsClass() bool { return r >= RoleEPCClass && r <= RoleOutputClass }

// hasChildren says whether a kind of event lists its things as children of a parent.
func (t EventType) hasChildren() bool { return t == AggregationEvent || t == AssociationEvent }

// Names are the identifiers of all things in e with their roles, as they are written, in the event's own order.
func (e *Event) Names() iter.Seq2[Role, string] {
	return func(yield func(Role, string) bool) {
		if e.Parent != "" && !yield(RoleParent, e.Parent) {
			return
		}
		one, class := RoleEPC, RoleEPCClass
		if e.Type.hasChildren() {
			one, class = RoleChild, RoleChildClass
		}
		for _, l := range [...]struct {
			role Role
			list []string
		}{{one, e.EPCs}, {RoleInput, e.InputEPCs}, {RoleOutput, e.OutputEPCs}} {
			for _, s := range l.list {
				if !yield(l.role, s) {
					return
				}
			}
		}
		for _, l := range [...]struct {
			role Role
			list []Quantity
		}{{class, e.Quantities}, {RoleInputClass, e.InputQuantities}, {RoleOutputClass, e.OutputQuantities}} {
			for i := range l.list {
				if !yield(l.role, l.list[i].Class) {
					return
				}
			}
		}
	}
}

// Words are the words of vocabularies in e with their kinds, as the fields hold them; absent ones are left out.
func (e *Event) Words() iter.Seq2[WordKind, string] {
	return func(yield func(WordKind, string) bool) {
		say := func(kind WordKind, list ...string) bool {
			for _, s := range list {
				if s != "" && !yield(kind, s) {
					return false
				}
			}
			return true
		}
		if !say(BizStep, e.BizStep) || !say(Disposition, e.Disposition) || e.Error != nil && !say(ErrorReason, e.Error.Reason) {
			return
		}
		if d := e.PersistentDispositions; d != nil && (!say(Disposition, d.Set...) || !say(Disposition, d.Unset...)) {
			return
		}
		for i := range e.Transactions {
			if !say(TransactionType, e.Transactions[i].Type) {
				return
			}
		}
		for _, list := range [...][]Party{e.Sources, e.Destinations} {
			for i := range list {
				if !say(PartyType, list[i].Type) {
					return
				}
			}
		}
		for i := range e.Sensors {
			for j := range e.Sensors[i].Reports {
				r := &e.Sensors[i].Reports[j]
				if !say(Measurement, r.Type) || !say(Exception, r.Exception) || !say(Component, r.Component) {
					return
				}
			}
		}
	}
}
