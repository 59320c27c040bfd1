package recursor

import "net/netip"

// Networks that are nobody's on the internet, beside those that netip.Addr tells of itself.
var nowhere = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // between a provider and its customers
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), // benchmarks
	netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), // an IPv4 address in disguise
	netip.MustParsePrefix("64:ff9b:1::/48"),
	netip.MustParsePrefix("2002::/16"), // another
	netip.MustParsePrefix("fec0::/10"),
}

// mayAsk reports whether a delegation may lead to this address.
func (r *Recursor) mayAsk(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsValid() || a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
		return false
	}
	for _, n := range r.c.Refuse {
		if n.Contains(a) {
			return false
		}
	}
	if r.c.AllowPrivate || r.hinted[a] {
		return true
	}
	if a.IsLoopback() || a.IsPrivate() || a.IsLinkLocalUnicast() {
		return false
	}
	for _, n := range nowhere {
		if n.Contains(a) {
			return false
		}
	}
	return true
}
