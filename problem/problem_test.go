package problem

import (
	"errors"
	"fmt"
	"io"
	"testing"
)

func TestError(t *testing.T) {
	cause := New(NotFound, "no record for %s", "没有 %s 的记录", "88.1/x")
	err := fmt.Errorf("looking up: %w", Wrap(cause, Unreachable, "cannot ask", "无法询问"))
	if KindOf(err) != Unreachable || !Is(err, Unreachable) || Is(nil, Internal) {
		t.Errorf("the kind of %v is %v", err, KindOf(err))
	}
	if KindOf(io.EOF) != Internal {
		t.Error("an error nobody classified is somebody's fault")
	}
	if got, want := Say(err, English), "cannot ask: no record for 88.1/x"; got != want {
		t.Errorf("in English: %q, want %q", got, want)
	}
	if got, want := Say(err, Chinese), "无法询问：没有 88.1/x 的记录"; got != want {
		t.Errorf("in Chinese: %q, want %q", got, want)
	}
	if got := Say(io.EOF, Chinese); got != "EOF" {
		t.Errorf("a foreign error: %q", got)
	}
	if Say(nil, English) != "" || !errors.Is(err, cause) {
		t.Error("nothing said wrongly, or the cause is lost")
	}
	if !errors.Is(err, New(NotFound, "", "")) || errors.Is(err, New(Exists, "", "")) {
		t.Error("errors.Is does not compare kinds")
	}
}

// TestKinds: every kind has a name of its own, since programs decide on it.
func TestKinds(t *testing.T) {
	seen := map[string]Kind{}
	for k := Internal; k <= Canceled; k++ {
		if old, ok := seen[k.String()]; ok {
			t.Errorf("%d and %d are both called %s", old, k, k)
		}
		seen[k.String()] = k
	}
	if Kind(200).String() != "internal" {
		t.Error("an unknown kind is not internal")
	}
}

func TestParseLang(t *testing.T) {
	for s, want := range map[string]Lang{"zh_CN.GB18030": Chinese, "zh-CN,zh;q=0.9,en;q=0.8": Chinese, "ZH": Chinese, "en_GB.UTF-8": English, "C": English, "": English} {
		if got := ParseLang(s); got != want {
			t.Errorf("%q: %v", s, got)
		}
	}
}
