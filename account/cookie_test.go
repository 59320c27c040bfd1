package account

import (
	"net/http"
	"strings"
	"testing"
)

// A browser's session is in a cookie that no script reads, and its answer holds no token.
func TestCookie(t *testing.T) {
	if a, b := SessionCookie("88.118.1001"), SessionCookie("88.118.1002"); a == b || !strings.HasPrefix(a, "fujie-") {
		t.Fatalf("two nodes of one host share a cookie: %s %s", a, b)
	}
	a := &Accounts{prefix: "88.118.1001"}
	c := a.sessionCookie("x", 60)
	if !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
		t.Errorf("%v", c)
	}
	if gone := a.sessionCookie("", -1).String(); !strings.Contains(gone, "Max-Age=0") {
		t.Errorf("a log-out leaves the cookie: %s", gone)
	}
}
