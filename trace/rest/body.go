package rest

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"mime"
	"net/http"
	"regexp"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/unicode"

	"github.com/fujie-id/fujie/problem"
)

func unsupportedMedia(en, zh string, args ...any) error {
	return fault(http.StatusUnsupportedMediaType, "UnsupportedMediaTypeException", problem.New(problem.BadRequest, en, zh, args...))
}

// contentType is what a body claims to be: JSON or XML, and in which characters.
func contentType(header string, withXML bool) (xml bool, charset string, err error) {
	media, params, e := mime.ParseMediaType(header)
	if e == nil {
		charset = strings.ToLower(params["charset"])
		switch media {
		case mediaJSON, mediaLD:
			return false, charset, nil
		case mediaXML, "text/xml":
			if withXML {
				return true, charset, nil
			}
		}
	}
	if withXML {
		return false, "", unsupportedMedia("the Content-Type %q cannot be read here: send application/json, application/ld+json or application/xml",
			"此处无法读取 Content-Type %q：请发送 application/json、application/ld+json 或 application/xml", header)
	}
	return false, "", unsupportedMedia("the Content-Type %q cannot be read here: send application/json",
		"此处无法读取 Content-Type %q：请发送 application/json", header)
}

// body reads a request's body, unpacked and as UTF-8, up to a limit; over is the name of the error beyond it.
func (c *call) body(limit int64, over string, withXML bool) (text []byte, xml bool, err error) {
	xml, charset, err := contentType(c.r.Header.Get("Content-Type"), withXML)
	if err != nil {
		return nil, false, err
	}
	tooLarge := func() error {
		return fault(http.StatusRequestEntityTooLarge, over, problem.New(problem.TooLarge,
			"the body has more than %d bytes: send it in parts", "请求正文超过 %d 字节：请分批发送", limit))
	}
	if c.r.ContentLength > limit {
		return nil, false, tooLarge()
	}
	var r io.Reader = http.MaxBytesReader(c.w, c.r.Body, limit+1)
	switch enc := strings.ToLower(c.r.Header.Get("Content-Encoding")); enc {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(r)
		if err != nil {
			return nil, false, badBody("the body is not packed with gzip as its Content-Encoding says: %v", "请求正文并非其 Content-Encoding 所述的 gzip 格式：%v", err)
		}
		r = z
	default:
		return nil, false, unsupportedMedia("the Content-Encoding %q is unknown here: send the body as it is, or packed with gzip",
			"此处不支持 Content-Encoding %q：请直接发送正文，或以 gzip 压缩", enc)
	}
	var b bytes.Buffer
	if c.r.ContentLength > 0 {
		b.Grow(int(min(c.r.ContentLength, limit)) + bytes.MinRead)
	}
	_, err = io.Copy(&b, io.LimitReader(r, limit+1))
	var over_ *http.MaxBytesError
	switch {
	case int64(b.Len()) > limit || errors.As(err, &over_):
		return nil, false, tooLarge()
	case err != nil:
		return nil, false, badBody("the body broke off: %v; send it again", "请求正文中断：%v；请重新发送", err)
	case len(bytes.TrimSpace(b.Bytes())) == 0:
		return nil, false, badBody("the body is empty: send a document or an event", "请求正文为空：请发送文档或事件")
	}
	text, err = utf8Text(b.Bytes(), xml, charset)
	if err == nil && int64(len(text)) > 2*limit {
		err = tooLarge()
	}
	return text, xml, err
}

func badBody(en, zh string, args ...any) error {
	return fault(http.StatusBadRequest, "ValidationException", problem.New(problem.BadRequest, en, zh, args...))
}

// declared finds the encoding in an XML declaration.
var declared = regexp.MustCompile(`^\s*<\?xml\s[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["'][^>]*?\?>`)

var encodings = map[string]encoding.Encoding{
	"gb18030": simplifiedchinese.GB18030, "gbk": simplifiedchinese.GB18030, "gb2312": simplifiedchinese.GB18030, "gb_2312-80": simplifiedchinese.GB18030, // GB18030 holds the older two
	"iso-8859-1": charmap.ISO8859_1, "latin1": charmap.ISO8859_1, "windows-1252": charmap.Windows1252,
	"utf-16":   unicode.UTF16(unicode.BigEndian, unicode.UseBOM),
	"utf-16be": unicode.UTF16(unicode.BigEndian, unicode.IgnoreBOM), "utf-16le": unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM),
}

func isUTF8(name string) bool {
	return name == "" || name == "utf-8" || name == "utf8" || name == "us-ascii" || name == "ascii"
}

// utf8Text turns a body into UTF-8. JSON is UTF-8 and nothing else (RFC 8259, 8.1); XML may be in what it declares.
func utf8Text(raw []byte, xml bool, charset string) ([]byte, error) {
	if !xml {
		if !isUTF8(charset) {
			return nil, unsupportedMedia("JSON is UTF-8; this body says it is %s: convert it", "JSON 必须为 UTF-8 编码；该正文声明为 %s：请先转换编码", charset)
		}
		raw = bytes.TrimPrefix(raw, []byte("\xef\xbb\xbf"))
		if len(raw) >= 2 && (raw[0] == 0 || raw[1] == 0 || raw[0] == 0xff && raw[1] == 0xfe || raw[0] == 0xfe && raw[1] == 0xff) {
			return nil, unsupportedMedia("the body is UTF-16 or UTF-32, and JSON is UTF-8: convert it", "该正文为 UTF-16 或 UTF-32 编码，而 JSON 必须为 UTF-8：请先转换编码")
		}
		if !utf8.Valid(raw) {
			return nil, unsupportedMedia("the body is not UTF-8 at byte %d (line %d); if it is GB18030, convert it", "该正文在第 %d 字节（第 %d 行）处不是 UTF-8；若为 GB18030 编码，请先转换",
				firstBad(raw), 1+bytes.Count(raw[:firstBad(raw)], []byte("\n")))
		}
		return raw, nil
	}
	name := charset
	head := raw[:min(len(raw), 256)]
	switch {
	case bytes.HasPrefix(raw, []byte("\xef\xbb\xbf")):
		raw, name = raw[3:], "utf-8"
	case bytes.HasPrefix(raw, []byte("\xff\xfe")):
		raw, name = raw[2:], "utf-16le"
	case bytes.HasPrefix(raw, []byte("\xfe\xff")):
		raw, name = raw[2:], "utf-16be"
	case len(head) > 1 && head[0] == 0 && head[1] == '<':
		name = "utf-16be"
	case len(head) > 1 && head[0] == '<' && head[1] == 0:
		name = "utf-16le"
	case name == "":
		if m := declared.FindSubmatch(head); m != nil {
			name = strings.ToLower(string(m[1]))
		}
	}
	if !isUTF8(name) {
		e, ok := encodings[name]
		if !ok {
			return nil, unsupportedMedia("the XML is in the encoding %q, which is not read here: send UTF-8, UTF-16, GB18030, GBK, GB2312, ISO-8859-1 or Windows-1252",
				"该 XML 的编码 %q 此处无法读取：请使用 UTF-8、UTF-16、GB18030、GBK、GB2312、ISO-8859-1 或 Windows-1252", name)
		}
		text, err := e.NewDecoder().Bytes(raw)
		if err != nil {
			return nil, badBody("the XML is not in the encoding %s that it declares: %v", "该 XML 并非其声明的 %s 编码：%v", name, err)
		}
		raw = text
	}
	if !utf8.Valid(raw) {
		return nil, badBody("the XML is not in UTF-8 at byte %d (line %d): declare its encoding as <?xml version=\"1.0\" encoding=\"GB18030\"?>, or convert it",
			"该 XML 在第 %d 字节（第 %d 行）处不是 UTF-8：请以 <?xml version=\"1.0\" encoding=\"GB18030\"?> 声明其编码，或先转换",
			firstBad(raw), 1+bytes.Count(raw[:firstBad(raw)], []byte("\n")))
	}
	// What is read from here on is UTF-8, and a declaration that says otherwise would mislead; its lines are kept, for the places of faults.
	if m := declared.FindSubmatchIndex(raw[:min(len(raw), 256)]); m != nil {
		raw = bytes.Join([][]byte{raw[:m[2]], []byte("UTF-8"), raw[m[3]:]}, nil)
	}
	return raw, nil
}

// firstBad is the place of the first byte that is no UTF-8.
func firstBad(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n <= 1 {
			return i
		}
		i += n
	}
	return len(b)
}
