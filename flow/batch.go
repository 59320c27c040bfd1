package flow

import (
	"context"
	"strings"
	"sync"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/trace/epcis"
)

// lanes is how many runs of a batch go on at once.
const lanes = 128

// ScanBatch does up to 1,000 scans, as a line's scanner or a phone that was offline sends them. Scans of one run are done in their order; each is durable when
// the call returns, or has its Error. A scan may name the run of an earlier one by its number: Run "@ID".
func (e *Engine) ScanBatch(ctx context.Context, who api.Caller, scans []Scan) ([]Result, error) {
	if len(scans) == 0 || len(scans) > maxBatch {
		return nil, problem.New(problem.TooLarge, "a batch has 1 to %d scans, this one %d: send it in parts", "一批应有 1 至 %d 次扫描，本批 %d 次：请分批发送", maxBatch, len(scans))
	}
	if who.IsAnonymous() {
		return nil, problem.New(problem.NeedAuth, "log in first: a flow is done by somebody", "请先登录：流程须由实名人员或应用执行")
	}
	named := map[string]bool{}
	for i := range scans {
		if strings.HasPrefix(scans[i].Run, "@") {
			named[scans[i].Run] = true
		}
	}
	queues := map[string][]int{}
	var order []string
	for i := range scans {
		s := &scans[i]
		lane := s.Run
		if lane == "" {
			if lane = "@" + s.ID; s.ID == "" || !named[lane] {
				lane = "thing " + epcis.Key(strings.TrimSpace(s.Code))
			}
		}
		if queues[lane] == nil {
			order = append(order, lane)
		}
		queues[lane] = append(queues[lane], i)
	}
	out := make([]Result, len(scans))
	next := make(chan []int)
	var wg sync.WaitGroup
	for range min(lanes, len(order)) {
		wg.Go(func() {
			for list := range next {
				for _, i := range list {
					r, err := e.Scan(ctx, who, scans[i])
					if err != nil {
						r = &Result{ID: scans[i].ID, Run: scans[i].Run, Error: problem.Say(err, who.Lang), Kind: problem.KindOf(err).String()}
					}
					out[i] = *r
				}
			}
		})
	}
	for _, lane := range order {
		next <- queues[lane]
	}
	close(next)
	wg.Wait()
	return out, nil
}

// begun is the run that an earlier scan of the same sender belongs to.
func (e *Engine) begun(ctx context.Context, who api.Caller, scan string) (string, error) {
	r, err := e.before(ctx, who.Ref.Name+" "+scan, who.Lang)
	switch {
	case err != nil:
		return "", err
	case r == nil:
		return "", problem.New(problem.NotFound, "the scan %s that this one follows has not come: send it first", "尚未收到前一次扫描 %s：请先发送", clip(scan))
	case r.Run == "":
		return "", problem.New(problem.Conflict, "the scan %s that this one follows began nothing: %s", "前一次扫描 %s 未开始任何流程：%s", clip(scan), r.Say)
	}
	return r.Run, nil
}
