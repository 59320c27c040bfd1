package rest

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// answersXML are the answers in XML of EPCIS 2.0 that the tests of this package got, each once. They are held against the schema together when the tests are over, since a
// process for each would take long.
var answersXML struct {
	sync.Mutex
	texts map[[32]byte]string
}

// keepXML keeps an answer for the end.
func keepXML(operation string, body []byte) {
	if !bytes.Contains(body[:min(len(body), 1000)], []byte(`schemaVersion="2.0"`)) {
		return // the schema of 1.2 is not among what is shared
	}
	answersXML.Lock()
	defer answersXML.Unlock()
	if answersXML.texts == nil {
		answersXML.texts = map[[32]byte]string{}
	}
	if len(answersXML.texts) < 20000 {
		answersXML.texts[sha256.Sum256(body)] = "<!-- " + strings.ReplaceAll(operation, "--", "") + " -->\n" + string(body)
	}
}

// judged runs the tests, and then holds the answers that they got against the schema.
type judged struct{ *testing.M }

func (m judged) Run() int {
	code := m.M.Run()
	if err := judgeXML(); err != nil {
		fmt.Println(err)
		code = 1
	}
	return code
}

// judgeXML holds the answers against the schema with xmllint, if both are here.
func judgeXML() error {
	schema := filepath.Join("..", "..", "..", "shared", "data", "epcis-interface", "XSD", "EPCglobal-epcis-query-2_0.xsd")
	tool, err := exec.LookPath("xmllint")
	if _, missing := os.Stat(schema); err == nil {
		err = missing
	}
	if err != nil {
		if makefile, _ := os.ReadFile(filepath.Join("..", "..", "Makefile")); os.Getenv("CI") == "true" && bytes.Contains(makefile, []byte("libxml2-utils:")) {
			return fmt.Errorf("answers in XML cannot be held against the schema: %w", err)
		}
		return nil
	}
	if len(answersXML.texts) == 0 {
		return nil
	}
	dir, err := os.MkdirTemp("", "answers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for sum, text := range answersXML.texts {
		declaration, rest, _ := strings.Cut(text, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n") // a comment may not stand before it
		if err := os.WriteFile(filepath.Join(dir, hex.EncodeToString(sum[:8])+".xml"), []byte(rest+declaration), 0o600); err != nil {
			return err
		}
	}
	if schema, err = filepath.Abs(schema); err != nil {
		return err
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.xml"))
	if err != nil {
		return err
	}
	out, err := exec.Command(tool, append([]string{"--nonet", "--noout", "--schema", schema}, files...)...).CombinedOutput()
	if err == nil {
		return nil
	}
	var said strings.Builder
	wrong := 0
	for line := range strings.Lines(string(out)) {
		if strings.HasSuffix(strings.TrimSpace(line), " validates") {
			continue
		}
		if wrong++; wrong > 40 {
			break
		}
		said.WriteString(line)
		if file, _, ok := strings.Cut(line, " fails to validate"); ok {
			text, _ := os.ReadFile(file)
			fmt.Fprintf(&said, "%.3000s\n", text)
		}
	}
	return fmt.Errorf("answers in XML break the schema (%d were looked at): %w\n%s", len(files), err, said.String())
}
