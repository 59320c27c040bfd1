package gs1

import "strings"

// A '++' scheme holds, besides the fields of a '+' scheme, the host of its maker's Digital Links, so that a reader gets the whole web address off a tag
// (Tag Data Standard 2.3, 14.5.16).

// maxHost is the longest host on a tag.
const maxHost = 63

// shortHosts are pieces of host names that stand in seven bits where ASCII has what no host needs (table 14-11).
var shortHosts = map[byte]string{0x1E: "qr.", 0x1F: "www.", 0x20: "id.", 0x5B: ".com", 0x5C: ".org", 0x5D: ".net", 0x5E: ".int", 0x60: ".edu", 0x7B: ".gov", 0x7C: ".mil",
	0x7D: ".biz", 0x7E: ".eco", 0x7F: ".med"}

// longHosts are those that stand in twice seven bits: the number of the list, and the place in it (tables 14-12 to 14-15).
var longHosts = [4][]string{
	domains("ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo bq br bs bt bw by bz ca cc cd cf cg ch ci " +
		"ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg eh er es et eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl gm gn gp " +
		"gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc li"),
	domains("lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa " +
		"pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn sr ss st su sv sx sy sz tc td tf tg " +
		"th tj tk tl tm tn to tr tt tv tw tz ua ug us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw"),
	strings.Fields(".com.au .net.au .org.au .co.at .com.bd .co.bd .com.br .net.br .co.nz .com.ng .com.pk .co.in .com.in .co.il .co.jp .co.za .co.kr .com.es .com.lk " +
		".co.th .co.tt .com.tt .com.tr .biz.tr .com.ua .co.uk .co.zm .com.zm .com.cn .org.cn .net.cn .gov.cn"),
	{".tech"},
}

// domains are the top-level domains of countries.
func domains(list string) []string {
	out := strings.Fields(list)
	for i := range out {
		out[i] = "." + out[i]
	}
	return out
}

// hostPiece is one or two units of seven bits that stand for a piece of a host name.
type hostPiece struct {
	text  string
	units []byte
}

var hostPieces = func() (out []hostPiece) {
	for unit, text := range shortHosts {
		out = append(out, hostPiece{text, []byte{unit}})
	}
	for list, texts := range longHosts {
		for at, text := range texts {
			out = append(out, hostPiece{text, []byte{byte(list), byte(at)}})
		}
	}
	return out
}()

// packHost writes a host name in the fewest bits: capitals three in 16, anything else in units of seven.
func (w *row) packHost(host string) bool {
	if host == "" || len(host) > maxHost || !isHost(host) {
		return false
	}
	units := hostUnits(host)
	if strings.Trim(host, code40Letters) == "" && (len(host)+2)/3*16 < len(units)*7 {
		w.small(0, 1)
		w.small(uint64(len(host)), 6)
		w.packCode40(host)
		return true
	}
	w.small(1, 1)
	w.small(uint64(len(units)), 6)
	for _, u := range units {
		w.small(uint64(u), 7)
	}
	return len(units) <= maxHost
}

// hostUnits are the fewest units that stand for a host name, found from its end.
func hostUnits(host string) []byte {
	best := make([][]byte, len(host)+1)
	for at := len(host) - 1; at >= 0; at-- {
		first, rest := []byte{host[at]}, best[at+1]
		for _, p := range hostPieces {
			if strings.HasPrefix(host[at:], p.text) && len(p.units)+len(best[at+len(p.text)]) < len(first)+len(rest) {
				first, rest = p.units, best[at+len(p.text)]
			}
		}
		best[at] = append(append(make([]byte, 0, len(first)+len(rest)), first...), rest...)
	}
	return best[0]
}

// unpackHost reads a host name.
func (w *row) unpackHost() (string, bool) {
	ascii, _ := w.takeSmall(1)
	n, ok := w.takeSmall(6)
	if !ok {
		return "", false
	}
	host := ""
	if ascii == 0 {
		host, ok = w.unpackCode40(n)
		return host, ok && isHost(host)
	}
	for ; n > 0; n-- {
		u, ok := w.takeSmall(7)
		switch {
		case !ok:
			return "", false
		case u < len(longHosts):
			at, ok := w.takeSmall(7)
			if n--; !ok || n == 0 || at >= len(longHosts[u]) {
				return "", false
			}
			host += longHosts[u][at]
		case shortHosts[byte(u)] != "":
			host += shortHosts[byte(u)]
		default:
			host += string(rune(u)) // what is no part of a host name is found below
		}
	}
	return host, len(host) <= maxHost && isHost(host)
}

// LinkTag is the tag that holds a Digital Link: in the '+' scheme of its key for the canonical host id.gs1.org, and in the '++' scheme, which holds the host as
// well, for any other. What is in its query besides fields cannot be on a tag. The error, of kind problem.BadID, says what does not fit.
func LinkTag(l Link, filter uint8) (Tag, error) {
	if l.Scheme != "https" || l.Stem != "" || len(l.Query) > 0 || l.Fragment != "" {
		return Tag{}, badTag(l.URI(), "a tag holds links of the form https://host/01/…/21/…, with nothing before the key, and fields only in the query; take the rest away", "标签只能存放 https://主机/01/…/21/… 形式的链接：主标识之前没有路径，查询中只有字段；请去掉其余部分")
	}
	t, err := PlusTag(l.Elements, filter)
	if err != nil || l.stem() == canonicalStem {
		return t, err
	}
	t.Scheme += "+"
	t.Host = l.Host
	_, err = t.Binary()
	return t, err
}
