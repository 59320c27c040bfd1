package main

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/fujie-id/fujie/problem"
)

// Exit codes. Scripts rely on them: additions only.
const (
	exitOK          = 0
	exitInternal    = 1
	exitUsage       = 2
	exitRefused     = 3
	exitAbsent      = 4
	exitBogus       = 5
	exitUnreachable = 6
	exitDenied      = 7
	exitTaken       = 8
	exitInterrupted = 9
)

var exitTexts = []struct {
	code   int
	en, zh string
}{
	{exitOK, "all went well", "成功"},
	{exitInternal, "the command failed; the message says why", "失败，原因见提示"},
	{exitUsage, "the command line or a file it names is wrong", "命令行或所给文件有误"},
	{exitRefused, "register: some lines were refused, and are listed with their numbers", "register：部分行被拒绝，已列出行号"},
	{exitAbsent, "there is no such identifier, or no such value", "没有此标识，或没有所要的值"},
	{exitBogus, "an answer came, but its signatures do not hold", "收到答案，但签名不成立"},
	{exitUnreachable, "no server that answers for it could be reached", "连不上负责的服务器"},
	{exitDenied, "you are not who may do this, or could not prove who you are", "无权限，或身份未获证实"},
	{exitTaken, "the identifier or the index is taken", "标识或索引已被占用"},
	{exitInterrupted, "stopped before the end; what was acknowledged stays, run it again to go on", "中途停止；已确认的部分保留，再次运行可继续"},
}

// codeError ends the program with a code; without an err nothing more is printed.
type codeError struct {
	code int
	err  error
}

func (c codeError) Error() string {
	if c.err == nil {
		return fmt.Sprintf("exit code %d", c.code)
	}
	return c.err.Error()
}

func (c codeError) Unwrap() error { return c.err }

func exitCode(err error) int {
	var c codeError
	if errors.As(err, &c) {
		return c.code
	}
	switch problem.KindOf(err) {
	case problem.BadID, problem.BadValue, problem.BadRequest, problem.TooLarge, problem.Unsupported:
		return exitUsage
	case problem.NotFound, problem.NoValues:
		return exitAbsent
	case problem.Bogus:
		return exitBogus
	case problem.Unreachable, problem.NotHere, problem.Busy, problem.TooDeep:
		return exitUnreachable
	case problem.NotAdmin, problem.Forbidden, problem.NeedAuth, problem.AuthFailed, problem.BadCredential, problem.AuthTimeout, problem.AuthError:
		return exitDenied
	case problem.Exists, problem.ValueExists, problem.Conflict:
		return exitTaken
	case problem.Canceled:
		return exitInterrupted
	}
	return exitInternal
}

type helpCmd struct {
	Topic string `arg:"" optional:"" help:"exit-codes, formats"`
}

func (c *helpCmd) Run(e *env) error {
	switch c.Topic {
	case "exit-codes":
		for _, t := range exitTexts {
			fmt.Fprintf(e.out, "%3d  %s\n", t.code, e.say(t.en, t.zh))
		}
		return nil
	case "formats":
		e.print(formatsEN, formatsZH)
		return nil
	case "":
		if code := run(e.ctx, []string{"--help"}, e.out, e.err); code != 0 {
			return codeError{code: code}
		}
		return nil
	}
	return problem.New(problem.BadRequest, "there is no topic %q; take exit-codes or formats", "没有主题 %q；可用 exit-codes 或 formats", c.Topic)
}

const formatsEN = `JSON Lines, one record a line, plain or .gz:
  {"id": "88.118.1001/ENG-42", "values": [{"index": 1, "type": "URL", "data": "https://example.com/42"}]}
CSV with a header: a column id, every other column a value; "2000:name" gives the index 2000:
  id,URL,2000:name
  88.118.1001/ENG-42,https://example.com/42,Engine 42
With --map, any JSON Lines or CSV; sim/maps/openfda-udi.yaml is an example.`

const formatsZH = `JSON Lines，每行一条记录，可为 .gz：
  {"id": "88.118.1001/ENG-42", "values": [{"index": 1, "type": "URL", "data": "https://example.com/42"}]}
带表头的 CSV：一列为 id（或“标识”），其余每列为一个值；"2000:name" 表示索引 2000：
  id,URL,2000:name
  88.118.1001/ENG-42,https://example.com/42,发动机 42
加 --map 时，任意 JSON Lines 或 CSV 均可；示例见 sim/maps/openfda-udi.yaml。`

type versionCmd struct{}

func (c *versionCmd) Run(e *env) error {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = " " + s.Value
			}
		}
	}
	fmt.Fprintf(e.out, "fujie %s%s %s %s/%s\n", version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return nil
}
