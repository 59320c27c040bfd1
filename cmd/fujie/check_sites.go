package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/mirror/site"
	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/sim"
)

// nationalSites are the sites of the national prefix.
func (c *checker) nationalSites() (sites []*sim.NodeState) {
	for i := range c.state.Nodes {
		if c.state.Nodes[i].Role == node.National {
			sites = append(sites, &c.state.Nodes[i])
		}
	}
	return sites
}

// state asks a site what it is.
func (c *checker) siteState(ctx context.Context, n *sim.NodeState) (site.State, error) {
	key, err := sim.PrefixKey(n)
	if err != nil {
		return site.State{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	door := site.Dial(node.PrefixKeyRef(n.Prefix), key, site.Peer{Name: n.Name, URL: n.HTTPS, Pin: n.Pin})
	defer door.Close()
	return door.State(ctx)
}

// failover kills the national primary with SIGKILL while it takes registrations and while its records are resolved.
func (c *checker) failover(ctx context.Context) (string, error) {
	sites := c.nationalSites()
	if len(sites) < 3 {
		return c.say("skipped: the country has fewer than three national sites", "略过：国家顶级节点少于三个站点"), nil
	}
	old := sites[0]
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()

	var mu sync.Mutex
	var acked []string
	var killed, back time.Time
	var by string
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var failed error
	wg.Go(func() {
		// Registers one after another at whoever takes changes.
		at := 0
		for n := 0; ; n++ {
			select {
			case <-stop:
				return
			case <-ctx.Done():
				return
			default:
			}
			v := id.MustParse(fmt.Sprintf("%s/CHECK-%d", old.Prefix, n))
			for {
				client, err := c.country.Access().Client(sites[at])
				if err != nil {
					failed = err
					return
				}
				wait, cancel := context.WithTimeout(ctx, time.Second)
				rs, err := client.Write(wait, record.Identity{}, []record.Write{{Op: record.Create, ID: v, Values: []record.Value{
					{Index: 1, Type: "DESC", Data: []byte("check"), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: 60}}}}})
				cancel()
				if err == nil {
					err = rs[0].Err
				}
				if err == nil || problem.Is(err, problem.Exists) {
					mu.Lock()
					acked = append(acked, v.String())
					if !killed.IsZero() && at != 0 && back.IsZero() {
						back, by = time.Now(), sites[at].Name
					}
					mu.Unlock()
					break
				}
				if ctx.Err() != nil {
					return
				}
				at = (at + 1) % len(sites)
				time.Sleep(5 * time.Millisecond)
			}
		}
	})
	resolved, lost := 0, 0
	wg.Go(func() {
		// Resolves what only the national sites know, past every cache, all the time.
		w, err := c.walker(c.country.Access().IRP)
		if err != nil {
			return
		}
		defer w.Close()
		for {
			select {
			case <-stop:
				return
			case <-ctx.Done():
				return
			case <-time.After(10 * time.Millisecond):
			}
			// A name that was never asked before: no cache helps.
			v := id.MustParse(fmt.Sprintf("%s/NOBODY-%d", old.Prefix, rand.Int64()))
			a, err := w.Resolve(ctx, record.Query{ID: v, PublicOnly: true})
			if ctx.Err() != nil {
				return
			}
			if resolved++; !problem.Is(err, problem.NotFound) || a.Trust != record.Secure {
				lost++
			}
		}
	})
	await := func(what func() bool) bool {
		for ctx.Err() == nil {
			mu.Lock()
			ok := what()
			mu.Unlock()
			if ok {
				return true
			}
			time.Sleep(5 * time.Millisecond)
		}
		return false
	}
	ok := await(func() bool { return len(acked) >= 20 })
	if ok {
		mu.Lock()
		killed = time.Now()
		mu.Unlock()
		if err := c.country.Kill(old.Name); err != nil {
			close(stop)
			wg.Wait()
			return "", err
		}
		ok = await(func() bool { return !back.IsZero() })
		n := len(acked)
		ok = ok && await(func() bool { return len(acked) >= n+20 })
	}
	close(stop)
	wg.Wait()
	switch {
	case failed != nil:
		return "", failed
	case !ok:
		return "", wrong("no other site took the changes", "没有其他站点接管登记")
	case lost > 0:
		return "", wrong("%d of %d resolutions failed meanwhile", "其间 %[2]d 次解析中有 %[1]d 次失败", lost, resolved)
	}
	// Everything acknowledged is at the new primary.
	now := c.state.Node(by)
	client, err := c.country.Access().Client(now)
	if err != nil {
		return "", err
	}
	for _, s := range acked {
		if _, err := client.Resolve(ctx, record.Query{ID: id.MustParse(s), PublicOnly: true, NoReferral: true}); err != nil {
			return "", wrong("%s was acknowledged, and %s does not have it: %v", "%s 已确认，但 %s 没有：%v", s, by, err)
		}
	}
	// The old one comes back, as a mirror.
	if err := c.country.Restart(ctx, old.Name); err != nil {
		return "", err
	}
	c.state = c.country.State()
	old = c.state.Node(old.Name)
	for {
		st, err := c.siteState(ctx, old)
		if err == nil && st.Role == site.Mirror && st.Primary == by {
			break
		}
		if ctx.Err() != nil {
			return "", wrong("%s did not come back as a mirror: %s %v", "%s 未能作为镜像恢复：%s %v", old.Name, st.Role, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return c.say("%d acknowledged, 0 lost; %s takes changes %.2f s after the kill; %d resolutions meanwhile, all answered; %s follows again",
		"已确认 %d 条，丢失 0 条；杀掉 %.2[3]f 秒后由 %[2]s 接管登记；其间 %[4]d 次解析全部成功；%[5]s 恢复为镜像",
		len(acked), by, back.Sub(killed).Seconds(), resolved, old.Name), nil
}
