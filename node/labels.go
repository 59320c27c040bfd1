package node

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"iter"
	"os"
	"strings"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/gs1"
	"github.com/fujie-id/fujie/label"
	"github.com/fujie-id/fujie/mint"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// openLabels opens the desk that draws labels of what is registered here.
func (n *Node) openLabels(ctx context.Context) (*label.Desk, error) {
	return label.New(ctx, label.Config{Prefix: n.cfg.Prefix, Registry: papers{n.registry, n}, Now: n.now,
		Resolve: func(ctx context.Context, c api.Caller, name string) (label.Fields, error) {
			v, err := id.Parse(name)
			if err != nil {
				return nil, err
			}
			// As the caller sees it: a label shows no more than its printer may know.
			a, err := n.registry.Resolve(ctx, record.Query{ID: v, By: c.Identity})
			if err != nil {
				return nil, err
			}
			out := label.Fields{"id": v.String()}
			for i := range a.Values {
				if x := &a.Values[i]; x.Index >= firstProperty && len(x.Data) <= 4000 {
					out[x.Type] = string(x.Data)
				}
			}
			return out, nil
		},
		Codes: func(ctx context.Context, c api.Caller, job string) (iter.Seq2[string, error], error) {
			v, err := id.ParseHandle(job)
			if err != nil || !c.Has(v.Prefix(), api.EnterpriseAdmin, api.EnterpriseUser, api.Application) {
				return nil, problem.New(problem.NotFound, "%.100s is not here: check its spelling", "此处没有 %.100s：请检查拼写", job)
			}
			j, err := n.in.mint.Job(ctx, v)
			if err != nil {
				return nil, err
			}
			if j.State != mint.Done {
				return nil, problem.New(problem.Conflict, "the job %s is %s: its codes can be printed when it is done", "作业 %s 状态为 %s：完成后方可打印", v, j.State)
			}
			return codesOf(n.in.mint.Path(v, j), j), nil
		},
		EPC: func(name string) ([]byte, error) {
			u, err := gs1.ParseURN(name)
			if err != nil {
				// A link does not say how long its company prefix is, without which no tag can be written.
				return nil, problem.New(problem.Unsupported, "%.100s is no EPC: give its URN, which says how long the company prefix is", "%.100s 不是 EPC：请给出含厂商识别代码长度的 URN", name)
			}
			t, err := gs1.BestTag(u, 0)
			if err != nil {
				return nil, err
			}
			return t.Memory()
		}})
}

// codesOf reads the identifiers out of a job's file.
func codesOf(path string, j mint.Job) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		f, err := os.Open(path)
		if err != nil {
			yield("", problem.Wrap(err, problem.NotFound, "the job's file is not on this node", "作业文件不在本节点"))
			return
		}
		defer f.Close()
		var r io.Reader = f
		if j.Gzip {
			z, err := gzip.NewReader(f)
			if err != nil {
				yield("", problem.Wrap(err, problem.Internal, "the job's file is damaged", "作业文件已损坏"))
				return
			}
			r = z
		}
		lines := bufio.NewScanner(r)
		for first := true; lines.Scan(); first = false {
			text := lines.Text()
			if j.Format == "jsonl" {
				var x struct {
					ID string `json:"id"`
				}
				if err := json.Unmarshal([]byte(text), &x); err != nil {
					yield("", problem.Wrap(err, problem.Internal, "the job's file is damaged", "作业文件已损坏"))
					return
				}
				text = x.ID
			} else {
				if first {
					continue // the header
				}
				text, _, _ = strings.Cut(text, ",")
			}
			if !yield(strings.Trim(text, `"`), nil) {
				return
			}
		}
		if err := lines.Err(); err != nil {
			yield("", problem.Wrap(err, problem.Internal, "the job's file cannot be read", "无法读取作业文件"))
		}
	}
}
