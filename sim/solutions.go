package sim

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/trust"
	"github.com/fujie-id/fujie/wire/web"
)

// FloorApp is the program's account by which an enterprise's simulated floor scans: it has the roles of the enterprise's solutions, and no others.
const FloorApp = "floor"

// installSolutions installs the cases that the plan names, each as what its enterprise is in it, and gives each enterprise's floor an account with its roles. All of it can be
// done again.
func (c *Country) installSolutions(ctx context.Context, nodes []placed) error {
	parties := map[string]map[string]string{} // case → party → prefix; the first that plays it
	for _, p := range nodes {
		for name, party := range p.solutions {
			if parties[name] == nil {
				parties[name] = map[string]string{}
			}
			if parties[name][party] == "" {
				parties[name][party] = p.prefix
			}
		}
	}
	installed := 0
	c.state.Systems = nil
	for _, p := range nodes {
		if len(p.solutions) == 0 || c.opts.NoSamples {
			continue
		}
		n := c.state.Node(p.name)
		client, err := c.access.Client(n)
		if err != nil {
			return err
		}
		member, err := appAccount(ctx, client, n, FloorApp, "车间 Floor", floorKey(n))
		if err != nil {
			return problem.Wrap(err, problem.KindOf(err), "the floor of %s got no account", "%s 的车间未能取得账户", p.name)
		}
		for _, name := range slices.Sorted(maps.Keys(p.solutions)) {
			order, err := json.Marshal(map[string]any{"party": p.solutions[name], "parties": parties[name]})
			if err != nil {
				return err
			}
			if err := exchange(ctx, client, http.MethodPost, "/api/solutions/"+name+"/install", order, 200); err != nil {
				return problem.Wrap(err, problem.KindOf(err), "%s could not install %s", "%s 未能安装 %s", p.name, name)
			}
			status, answer, err := client.Exchange(ctx, http.MethodGet, "/api/solutions/"+name, nil)
			if err != nil {
				return err
			}
			var detail struct {
				Roles []struct {
					Group string `json:"group"`
				} `json:"roles"`
				Systems []struct {
					Name  string `json:"name"`
					Title string `json:"title"`
					Party string `json:"party"`
				} `json:"systems"`
			}
			if err := json.Unmarshal(answer, &detail); err != nil || status != 200 {
				return problem.New(problem.BadRequest, "%s does not show %s: status %d", "%s 未显示 %s：状态 %d", p.name, name, status)
			}
			add, err := json.Marshal(map[string]any{"add": []string{member, p.prefix + "/User_li", p.prefix + "/User_admin"}})
			if err != nil {
				return err
			}
			for _, r := range detail.Roles {
				if _, group, ok := strings.Cut(r.Group, "/Group_"); ok {
					if err := exchange(ctx, client, http.MethodPatch, "/api/groups/"+p.prefix+"/"+group, add, 200); err != nil {
						return err
					}
				}
			}
			for _, x := range detail.Systems {
				if x.Party != "" && x.Party != p.solutions[name] || parties[name][p.solutions[name]] != p.prefix {
					continue
				}
				if _, err := appAccount(ctx, client, n, x.Name, x.Title, systemKey(n, x.Name)); err != nil {
					return problem.Wrap(err, problem.KindOf(err), "the system %s of %s got no account", "%[2]s 的系统 %[1]s 未能取得账户", x.Name, p.name)
				}
				c.state.Systems = append(c.state.Systems, SystemState{Solution: name, Name: x.Name, Title: x.Title, Node: p.name})
			}
			installed++
		}
	}
	if installed > 0 {
		c.opts.Progress(fmt.Sprintf("%d solutions are installed at their enterprises", installed), fmt.Sprintf("已在各企业安装 %d 个解决方案", installed))
	}
	return nil
}

// floorKey is where the key of an enterprise's floor is.
func floorKey(n *NodeState) string { return filepath.Join(n.Dir, "keys", "app-floor.pem") }

// appAccount makes the account of a program, once, and keeps its key beside the node's.
func appAccount(ctx context.Context, client *web.Client, n *NodeState, app, title, path string) (name string, err error) {
	name = n.Prefix + "/App_" + app
	if _, err := os.Stat(path); err == nil {
		return name, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	key, err := trust.Generate(trust.P256, nil)
	if err != nil {
		return "", err
	}
	private, err := key.MarshalPEM()
	if err != nil {
		return "", err
	}
	body, err := json.Marshal(map[string]any{"name": app, "title": title, "publicKey": string(key.Public().MarshalPEM())})
	if err != nil {
		return "", err
	}
	if err := exchange(ctx, client, http.MethodPost, "/api/apps", body, 200, 201); err != nil {
		return "", err
	}
	return name, node.WriteFile(path, private)
}

// Floor speaks to an enterprise's node as its floor does.
func (a *Access) Floor(n *NodeState) (*web.Client, error) {
	key, err := readKey(floorKey(n))
	if err != nil {
		return nil, err
	}
	return &web.Client{Base: n.HTTPS, Pin: n.Pin, User: record.Ref{Index: 300, Name: n.Prefix + "/App_" + FloorApp}, Key: key}, nil
}
