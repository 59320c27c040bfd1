package web_test

import (
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// program is the path of a program that is not ours; the test is left out where it is not installed.
func program(t *testing.T, names ...string) string {
	t.Helper()
	for _, n := range names {
		if p, err := exec.LookPath(n); err == nil {
			return p
		}
	}
	if os.Getenv("CI") == "true" && names[0] != "chromium" {
		t.Fatalf("%s is needed here; install it", names[0])
	}
	t.Skipf("%s is not installed", names[0])
	return ""
}

func run(t *testing.T, name string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil && errs.Len() > 0 {
		t.Logf("%s: %s", filepath.Base(name), errs.String())
	}
	return string(out), err
}

func TestPyHandle(t *testing.T) {
	python := program(t, "python3")
	w := open(t)
	out, err := run(t, python, "testdata/pyhandle.py", "https://"+w.addr, prefix, adminSec.String(), secret)
	if err != nil || !strings.Contains(out, "32 of 32 checks passed") {
		t.Errorf("by password: %v\n%s", err, out)
	}

	w = open(t)
	w.key = newKey(t, trust.RSA)
	w.book.Put("0.NA/"+prefix, record.Value{Index: 300, Type: record.TypePubKey, Data: w.key.Public().Data(), Perm: record.DefaultPerm})
	cert, err := trust.ClientCertificate(w.key, adminKey, time.Now(), time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "client.pem")
	key, err := w.key.MarshalPEM()
	if err != nil {
		t.Fatal(err)
	}
	both := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}), key...)
	if err := os.WriteFile(file, both, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = run(t, python, "testdata/pyhandle.py", "https://"+w.addr, prefix, adminKey.String(), "", file)
	// With a certificate on the connection nobody is nobody: the check that nobody writes cannot hold.
	if !strings.Contains(out, "31 of 32 checks passed") || !strings.Contains(out, "FAILED nobody writes") {
		t.Errorf("by certificate: %v\n%s", err, out)
	}
}

func TestCurl(t *testing.T) {
	curl := program(t, "curl")
	w := open(t)
	file := filepath.Join(t.TempDir(), "values.json")
	if err := os.WriteFile(file, []byte(`[{"index":1,"type":"URL","data":"https://shop.example/42"}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	at := "https://" + w.addr
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-X", "PUT", "-u", "301%3A0.NA/" + prefix + ":" + secret, "-H", "Content-Type: application/json", "-d", "@" + file, at + "/api/handles/" + prefix + "/curl"}, `{"responseCode":1,"handle":"88.118.1001/curl"} 201`},
		{[]string{at + "/api/handles/" + prefix + "/curl?type=URL&pretty=false"}, `"value":"https://shop.example/42"`},
		{[]string{"--http2", at + "/api/handles/" + prefix + "/curl"}, `"value":"https://shop.example/42"`},
		{[]string{"http://" + w.addr + "/api/handles/" + prefix + "/curl"}, `"value":"https://shop.example/42"`},
		{[]string{"-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", at + "/" + prefix + "/curl"}, "302 https://shop.example/42"},
		{[]string{"-H", "Accept: application/json", at + "/" + prefix + "/curl"}, `{"responseCode":1,`},
		{[]string{"--tlsv1.2", "--tls-max", "1.2", at + "/healthz"}, `{"status":"ok"}`},
		{[]string{"-X", "DELETE", "-u", "301%3A0.NA/" + prefix + ":wrong", at + "/api/handles/" + prefix + "/curl"}, " 401"},
		{[]string{"--data-binary", `{"id":"` + prefix + `/bulk","values":[]}`, "-u", "301%3A0.NA/" + prefix + ":" + secret, at + "/api/register"}, `{"line":1,"responseCode":1,"id":"88.118.1001/BULK"}`},
	} {
		args := append([]string{"-sk", "--max-time", "20"}, c.args...)
		if c.args[0] != "-o" {
			args = append(args, "-w", " %{http_code}")
		}
		out, err := run(t, curl, args...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("curl %s: %v\n%s", strings.Join(c.args, " "), err, out)
		}
	}
}

// TestChromium lets a real browser look at the pages, over HTTPS too. With FUJIE_SHOTS=DIR it leaves pictures there. Each
// start of a browser takes seconds, so it is part of the long tests.
func TestChromium(t *testing.T) {
	if os.Getenv("FUJIE_SOAK") == "" && os.Getenv("FUJIE_SHOTS") == "" {
		t.Skip("set FUJIE_SOAK=1")
	}
	chromium := program(t, "chromium", "chromium-browser", "google-chrome")
	w := open(t, func(s *web.Server) {
		inner := s.Resolver
		s.Resolver = resolver(func(q record.Query) (record.Answer, error) {
			a, err := inner.Resolve(t.Context(), q)
			a.Trust, a.Source = record.Secure, "cache"
			return a, err
		})
	})
	w.book.Put(prefix+"/ENG-42", text(1, "URL", "https://shop.example/parts/ENG-42"), text(2, "名称", "发动机缸体 Engine block"), text(3, "DESC", "Cast iron, four cylinders, 38.5 kg"), text(4, "EMAIL", "service@shop.example"),
		text(5, "批次", "2026-11-22-03"), text(100, record.TypeAdmin, string(record.AppendAdmin(nil, record.Admin{Perms: record.AllPerms, Ref: adminKey}))),
		text(300, record.TypePubKey, string(w.key.Public().Data())))
	shots := os.Getenv("FUJIE_SHOTS")
	flags := []string{"--headless=new", "--no-sandbox", "--disable-gpu", "--ignore-certificate-errors", "--disable-dev-shm-usage", "--no-first-run", "--user-data-dir=" + t.TempDir()}
	for _, c := range []struct{ name, lang, size, url, want string }{
		{"record-en", "en-US", "1100,1000", "https://" + w.addr + "/" + prefix + "/ENG-42?noredirect", "Verified: every signature"},
		{"record-zh", "zh-CN", "1100,1000", "http://" + w.addr + "/" + prefix + "/ENG-42?noredirect", "已验证"},
		{"phone-zh", "zh-CN", "500,1000", "http://" + w.addr + "/" + prefix + "/ENG-42?noredirect&lang=zh", "已验证"},
		{"entry-zh", "zh-CN", "1100,700", "http://" + w.addr + "/?lang=zh", "标识查询"},
		{"entry-en", "en-US", "1100,700", "http://" + w.addr + "/", "Identifier look-up"},
		{"absent-zh", "zh-CN", "1100,700", "http://" + w.addr + "/" + prefix + "/none?lang=zh", "该标识未注册"},
	} {
		args := append(flags[:len(flags):len(flags)], "--lang="+c.lang, "--accept-lang="+c.lang, "--window-size="+c.size)
		if shots != "" {
			if out, err := run(t, chromium, append(args, "--screenshot="+filepath.Join(shots, c.name+".png"), c.url)...); err != nil {
				t.Errorf("%s: %v\n%s", c.name, err, out)
			}
		}
		out, err := run(t, chromium, append(args, "--dump-dom", c.url)...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("%s: %v\n%s", c.name, err, out)
		}
	}
}
