package sim

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
)

// Person is somebody who can log in at a node's console: a part to play in the demonstration.
type Person struct {
	User  string `json:"user"` // as typed: admin
	Title string `json:"title"`
	Node  string `json:"node"`
}

type personPlan struct {
	user, title string
	roles       []string
}

// people says who works at a node: who runs it, and who does the work there.
func people(p placed) []personPlan {
	switch p.role {
	case node.Enterprise:
		return []personPlan{
			{"admin", "管理员 Administrator", []string{"operator", "enterprise-admin"}},
			{"li", "李工 Li at the line", []string{"enterprise-user"}},
		}
	case node.SecondLevel:
		return []personPlan{{"admin", "运营者 Operator", []string{"operator"}}, {"wang", "王审核 Reviewer Wang", []string{"reviewer"}}}
	case node.National:
		return []personPlan{{"admin", "国家节点运营者 National operator", []string{"operator"}}, {"zhao", "赵监管 Regulator Zhao", []string{"regulator"}}}
	}
	return nil
}

// passwordFile holds the one password of all people of a country, made once for each data folder.
const passwordFile = "console-password"

// makePeople gives accounts to those who open consoles in the demonstration, all with one password that only this folder
// knows. It can be done again.
func (c *Country) makePeople(ctx context.Context, nodes []placed) error {
	path := filepath.Join(c.opts.Data, passwordFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		b = []byte(strings.ToLower(rand.Text()[:16]) + "\n")
		err = node.WriteFile(path, b)
	}
	if err != nil {
		return problem.Wrap(err, problem.KindOf(err), "cannot keep the password of the consoles in %s", "无法将控制台口令存入 %s", path)
	}
	c.state.ConsolePassword = strings.TrimSpace(string(b))
	c.state.People = nil
	var wg sync.WaitGroup
	var mu sync.Mutex
	var first error
	turns := make(chan struct{}, 4)
	for _, p := range nodes {
		if p.mirror {
			continue
		}
		for _, who := range people(p) {
			c.state.People = append(c.state.People, Person{User: who.user, Title: who.title, Node: p.name})
		}
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if err := c.peopleOf(ctx, p); err != nil {
				mu.Lock()
				defer mu.Unlock()
				if first == nil {
					first = problem.Wrap(err, problem.KindOf(err), "the people of %s got no accounts", "%s 的人员未能取得账户", p.name)
				}
			}
		})
	}
	wg.Wait()
	return first
}

func (c *Country) peopleOf(ctx context.Context, p placed) error {
	client, err := c.access.Client(c.state.Node(p.name))
	if err != nil {
		return err
	}
	for _, who := range people(p) {
		status, _, err := client.Exchange(ctx, http.MethodGet, "/api/users/"+p.prefix+"/"+who.user, nil)
		if err != nil {
			return err
		}
		if status == http.StatusOK {
			continue // of an earlier run
		}
		roles := make([]map[string]string, len(who.roles))
		for i, r := range who.roles {
			roles[i] = map[string]string{"name": r, "prefix": p.prefix}
		}
		body, err := json.Marshal(map[string]any{"prefix": p.prefix, "name": who.user, "title": who.title, "roles": roles, "password": c.state.ConsolePassword})
		if err != nil {
			return err
		}
		if err := exchange(ctx, client, http.MethodPost, "/api/users", body, 201); err != nil {
			return err
		}
	}
	return nil
}
