package gs1_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/fujie-id/fujie/id/gs1"
)

var notSix = regexp.MustCompile(`\(\?![01]{6}\)`)

// tdtPatterns are the patterns of a level of a scheme's file.
func tdtPatterns(t *testing.T, scheme, level string) (out []*regexp.Regexp) {
	t.Helper()
	var doc map[string]struct {
		Scheme struct {
			Level []struct {
				Type   string
				Option []struct{ Pattern string }
			}
		}
	}
	name, kind, _ := strings.Cut(scheme, "-")
	tdt(t, strings.ToUpper(name)+"-"+kind+".json", &doc)
	for _, d := range doc {
		for _, l := range d.Scheme.Level {
			for _, o := range l.Option {
				if l.Type == level {
					// Go knows no (?!000000), which says that a text does not hold what ends it; reading it back shows that as well.
					re, err := regexp.Compile(notSix.ReplaceAllString(o.Pattern, ""))
					if err != nil {
						t.Fatal(scheme, level, err)
					}
					out = append(out, re)
				}
			}
		}
	}
	if len(out) == 0 {
		t.Fatal(scheme, "has no patterns of", level)
	}
	return out
}

// TestTagPatterns holds what is written to the patterns of GS1's translation files: bits, tag URN and EPC.
func TestTagPatterns(t *testing.T) {
	for _, scheme := range schemes {
		bits, tags, pure := tdtPatterns(t, scheme, "BINARY"), tdtPatterns(t, scheme, "TAG_ENCODING"), tdtPatterns(t, scheme, "PURE_IDENTITY")
		matches := func(list []*regexp.Regexp, s string) bool {
			for _, re := range list {
				if re.MatchString(s) {
					return true
				}
			}
			return false
		}
		t.Run(scheme, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				u, err := gs1.ParseURN("urn:epc:id:" + epc(t, scheme))
				if err != nil {
					t.Fatal(err)
				}
				tag := gs1.Tag{Scheme: scheme, URN: u}
				b, err := tag.Binary()
				if err != nil {
					t.Fatal(err)
				}
				if !matches(bits, b) {
					t.Errorf("%s is %s, which matches no pattern of bits", tag, b)
				}
				if !matches(tags, tag.String()) {
					t.Errorf("%s matches no pattern of tags", tag)
				}
				if !matches(pure, u.String()) {
					t.Errorf("%s matches no pattern of EPCs", u)
				}
			})
		})
	}
}

// TestURNPatterns: whatever matches the patterns of GS1's translation files is read, and written as it stands. They do not say how large a number is.
func TestURNPatterns(t *testing.T) {
	for _, scheme := range schemes {
		name, _, _ := strings.Cut(scheme, "-")
		for _, re := range tdtPatterns(t, scheme, "PURE_IDENTITY") {
			t.Run(scheme, func(t *testing.T) {
				rapid.Check(t, func(t *rapid.T) {
					s := rapid.StringMatching(re.String()).Draw(t, "epc")
					u, err := gs1.ParseURN(s)
					if err != nil && !(strings.Contains(err.Error(), "zeros in front") || strings.Contains(err.Error(), "does not begin with 0")) {
						t.Fatal(err)
					}
					if err == nil && (u.String() != s || u.Scheme != name) {
						t.Fatalf("%s is %s", s, u)
					}
				})
			})
		}
	}
}
