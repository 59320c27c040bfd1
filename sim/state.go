package sim

import (
	"encoding/json"
	"os"
	"path/filepath"

	"github.com/fujie-id/fujie/node"
	"github.com/fujie-id/fujie/problem"
)

// State is a running country as scripts see it: the ready file.
type State struct {
	Version string      `json:"version"`
	RootKey string      `json:"root_key"` // fingerprint of the root's key
	Nodes   []NodeState `json:"nodes"`
	// Samples are identifiers that resolve, one of each enterprise first.
	Samples          []string `json:"samples"`
	EnterprisePrefix string   `json:"enterprise_prefix"`
	// People can log in at the consoles of their nodes, all with one password, random for each data folder.
	People          []Person `json:"people,omitempty"`
	ConsolePassword string   `json:"console_password,omitempty"`
	// Systems are the business systems of the enterprises' solutions, played by fujie system.
	Systems []SystemState `json:"systems,omitempty"`
	// Hints is the file with the root's place and key, for whoever checks chains.
	Hints string `json:"hints"`
}

// NodeState is one node of it. The first of a role is the one that a script should use.
type NodeState struct {
	Name   string    `json:"name"`
	Role   node.Role `json:"role"`
	Prefix string    `json:"prefix"`
	IRP    string    `json:"irp"`
	HTTP   string    `json:"http"`
	HTTPS  string    `json:"https"`
	EPCIS  string    `json:"epcis,omitempty"` // where its events are captured and asked for
	Pin    string    `json:"pin"`             // fingerprint of its server key
	Dir    string    `json:"dir"`
	Title  string    `json:"title,omitempty"`
	Mirror bool      `json:"mirror,omitempty"`
	Pid    int       `json:"pid,omitempty"`
	// Solutions are the industry cases that run there, and what the enterprise is in each.
	Solutions map[string]string `json:"solutions,omitempty"`
	// DemoUser and DemoPassword open the node's API by Basic authentication; random for each data folder.
	DemoUser     string `json:"demo_user,omitempty"`
	DemoPassword string `json:"demo_password,omitempty"`
}

// stateFile is the name of the state in a country's folder.
const stateFile = "country.json"

// write puts the state into a file that appears at once and whole, for the owner's eyes only: it holds demo passwords.
func (s *State) write(path string) error {
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return node.WriteFile(path, append(b, '\n'))
}

// ReadState reads the state of the country in dir. The error, of kind problem.NotFound when none has run there, names
// the cure.
func ReadState(dir string) (*State, error) {
	b, err := os.ReadFile(filepath.Join(dir, stateFile))
	if os.IsNotExist(err) {
		return nil, problem.New(problem.Unreachable, "no country runs in %s; start one with fujie up, or name a server", "%s 中没有运行的国家；请先 fujie up，或指定服务器", dir)
	}
	if err != nil {
		return nil, problem.Wrap(err, problem.Internal, "cannot read the state of the country", "无法读取国家状态")
	}
	var s State
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, problem.Wrap(err, problem.Internal, "the state of the country in %s is damaged; stop it and run fujie up again", "%s 中的国家状态已损坏；请停止后重新 fujie up", dir)
	}
	return &s, nil
}

// First is the first node of a role, or nil.
func (s *State) First(role node.Role) *NodeState {
	for i := range s.Nodes {
		if s.Nodes[i].Role == role {
			return &s.Nodes[i]
		}
	}
	return nil
}

// Node is the node of this name, or nil.
func (s *State) Node(name string) *NodeState {
	for i := range s.Nodes {
		if s.Nodes[i].Name == name {
			return &s.Nodes[i]
		}
	}
	return nil
}

// Primary is the node that was the first site of a prefix, or nil.
func (s *State) Primary(prefix string) *NodeState {
	for i := range s.Nodes {
		if s.Nodes[i].Prefix == prefix && !s.Nodes[i].Mirror {
			return &s.Nodes[i]
		}
	}
	return nil
}
