// Package gs1 reads the codes of GS1 that stand on goods, pallets and places: element strings as a scanner gives them, Digital Links as a phone sees them,
// and EPCs as a reader of tags reports them. Whatever the spelling, one thing gets one name.
package gs1

// Element is one data field: an application identifier, two to four digits, and its value.
type Element struct{ AI, Value string }

// Elements are the fields of one code, in the order in which they stand.
type Elements []Element

// Value is the value of the first field with that identifier, and whether there is one.
func (e Elements) Value(ai string) (string, bool) {
	for i := range e {
		if e[i].AI == ai {
			return e[i].Value, true
		}
	}
	return "", false
}
