package node

import (
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestSampleNamesEverything holds sample.yaml to the program: a field that is not named there is one that nobody finds.
func TestSampleNamesEverything(t *testing.T) {
	text := string(Sample())
	seen := map[reflect.Type]bool{}
	var walk func(at string, typ reflect.Type)
	walk = func(at string, typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ == reflect.TypeFor[time.Time]() || seen[typ] {
			return
		}
		seen[typ] = true
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if name == "" || name == "-" {
				continue
			}
			// As a key, or as a word in the explanation of its block.
			if !regexp.MustCompile(`(^|[\s#{,.(])` + regexp.QuoteMeta(name) + `([:\s,;.)]|$)`).MatchString(text) {
				t.Errorf("%s%s is not explained in sample.yaml", at, name)
			}
			// The call of an HTTP source is explained where it is described, in live.
			if name != "http" || at == "" {
				walk(at+name+".", f.Type)
			}
		}
	}
	walk("", reflect.TypeFor[Config]())
	if len(seen) < 10 {
		t.Errorf("only %d kinds of settings were looked at", len(seen))
	}
}
