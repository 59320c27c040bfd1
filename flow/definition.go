package flow

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// Definition is a flow as it is declared. A value in it is literal text with {{ CEL }} inside, one CEL expression when it begins
// with =, or a number, truth value, list or map of YAML; a condition is CEL.
type Definition struct {
	Flow  string         `yaml:"flow" json:"flow" doc:"Its name: small letters, digits, dashes"`
	Name  Text           `yaml:"name" json:"name"`
	About string         `yaml:"about" json:"about" doc:"The binding whose identifier the run is about"`
	Many  bool           `yaml:"many" json:"many,omitempty" doc:"Several runs about one thing may be open at once"`
	Start string         `yaml:"start" json:"start,omitempty" doc:"The first step; the one that stands first if absent"`
	Uses  map[string]any `yaml:"uses" json:"uses,omitempty" doc:"Constants, seen as uses.NAME"`
	Vars  map[string]any `yaml:"vars" json:"vars,omitempty" doc:"What the run's variables are at its start"`
	Steps []Step         `yaml:"steps" json:"steps"`
	End   *Ending        `yaml:"end" json:"end,omitempty" doc:"How a run ends whose last step does not say"`

	file string
	src  []byte
}

// Step is one step.
type Step struct {
	Step   string         `yaml:"step" json:"step"`
	Name   Text           `yaml:"name" json:"name,omitzero"`
	Hint   Text           `yaml:"hint" json:"hint,omitzero" doc:"Shown with the step"`
	Who    []string       `yaml:"who" json:"who,omitempty" doc:"Roles of the solution; all of them if absent"`
	Auto   bool           `yaml:"auto" json:"auto,omitempty" doc:"Nobody scans: it is done as soon as the run comes to it"`
	Scan   *ScanRule      `yaml:"scan" json:"scan,omitempty"`
	Ask    []Ask          `yaml:"ask" json:"ask,omitempty" doc:"What else must be known, in order"`
	Form   []Field        `yaml:"form" json:"form,omitempty"`
	Decide []Decide       `yaml:"decide" json:"decide,omitempty"`
	Checks []Check        `yaml:"checks" json:"checks,omitempty" doc:"In order; the first that holds decides"`
	Set    map[string]any `yaml:"set" json:"set,omitempty" doc:"Variables of the run"`
	Do     []Effect       `yaml:"do" json:"do,omitempty"`
	Undo   []Effect       `yaml:"undo" json:"undo,omitempty" doc:"Done when the run is cancelled later, the newest step first"`
	Again  string         `yaml:"again" json:"again,omitempty" doc:"Condition: the run stays on this step"`
	Next   Next           `yaml:"next" json:"next,omitempty"`
	Finish *Finish        `yaml:"finish" json:"finish,omitempty" doc:"A button beside the scan"`
	End    *Ending        `yaml:"end" json:"end,omitempty"`
	After  *After         `yaml:"after" json:"after,omitempty" doc:"A timer of a run that stands on this step"`
}

// ScanRule is what is scanned.
type ScanRule struct {
	As      string     `yaml:"as" json:"as" doc:"The binding"`
	Of      []string   `yaml:"of" json:"of,omitempty" doc:"Templates that it may be of; any if absent"`
	Owner   string     `yaml:"owner" json:"owner,omitempty" enum:"any,own" doc:"own: of this enterprise only"`
	New     bool       `yaml:"new" json:"new,omitempty" doc:"A code that nothing is registered under is expected"`
	Pattern string     `yaml:"pattern" json:"pattern,omitempty" doc:"Regular expression of the whole suffix, looked at before anything is asked"`
	Codes   []CodeRule `yaml:"codes" json:"codes,omitempty" doc:"Private codes"`
	Purpose string     `yaml:"purpose" json:"purpose,omitempty" doc:"Its owner, when that is another enterprise, is asked in this enterprise's name and for this purpose: what it shows partners and not everybody is seen too"`
	Alone   bool       `yaml:"alone" json:"alone,omitempty" doc:"It is in one open run of the flow at a time: another run turns it away and says which has it"`
}

// CodeRule makes a private code an identifier.
type CodeRule struct {
	Match string `yaml:"match" json:"match" doc:"Regular expression of the whole code; its groups are seen as match"`
	ID    string `yaml:"id" json:"id"`
}

// Ask is something that a step must know: a record (id), events that name a thing (events), or runs about it (runs).
type Ask struct {
	As      string   `yaml:"as" json:"as"`
	ID      string   `yaml:"id" json:"id,omitempty"`
	Of      []string `yaml:"of" json:"of,omitempty"`
	Purpose string   `yaml:"purpose" json:"purpose,omitempty" doc:"The owner of id, when that is another enterprise, is asked in this enterprise's name and for this purpose: what it shows partners and not everybody is seen too"`
	Missing string   `yaml:"missing" json:"missing,omitempty" enum:"null,stop" doc:"stop: without it the step is refused"`
	Events  string   `yaml:"events" json:"events,omitempty"`
	Step    string   `yaml:"step" json:"step,omitempty" doc:"Business step of the events"`
	Runs    string   `yaml:"runs" json:"runs,omitempty"`
	Flow    string   `yaml:"flow" json:"flow,omitempty"`
	State   State    `yaml:"state" json:"state,omitempty"`
	Last    int      `yaml:"last" json:"last,omitempty" doc:"So many at most, the newest first; 10 if 0"`
}

// Field is one field of a form.
type Field struct {
	Field    string   `yaml:"field" json:"field"`
	Label    Text     `yaml:"label" json:"label"`
	Hint     Text     `yaml:"hint" json:"hint,omitzero"`
	Type     string   `yaml:"type" json:"type" enum:"text,number,integer,date,datetime,choice,boolean,id"`
	Unit     string   `yaml:"unit" json:"unit,omitempty"`
	Min      *float64 `yaml:"min" json:"min,omitempty" doc:"Of a number; of a text, its fewest characters"`
	Max      *float64 `yaml:"max" json:"max,omitempty" doc:"Of a number; of a text, its most characters"`
	Required bool     `yaml:"required" json:"required,omitempty"`
	Pattern  string   `yaml:"pattern" json:"pattern,omitempty"`
	Choices  []Choice `yaml:"choices" json:"choices,omitempty"`
	Prefill  any      `yaml:"prefill" json:"prefill,omitempty"`
	Scan     bool     `yaml:"scan" json:"scan,omitempty" doc:"May be filled by a scan"`
}

// Choice is one of a field's choices.
type Choice struct {
	Value string `yaml:"value" json:"value"`
	Label Text   `yaml:"label" json:"label"`
}

// Decide looks a decision table up.
type Decide struct {
	Table string `yaml:"table" json:"table"`
	As    string `yaml:"as" json:"as"`
}

// Check is a condition and what follows from it.
type Check struct {
	When    string  `yaml:"when" json:"when"`
	Verdict Verdict `yaml:"verdict" json:"verdict" enum:"refused,stopped,diverted,warned"`
	Say     Text    `yaml:"say" json:"say"`
	To      string  `yaml:"to" json:"to,omitempty" doc:"Where the run goes: a step, end, or the step itself"`
}

// Finish lets the person end a repeated step.
type Finish struct {
	Name Text   `yaml:"name" json:"name"`
	When string `yaml:"when" json:"when,omitempty"`
	To   string `yaml:"to" json:"to,omitempty" doc:"end if absent"`
}

// Ending is how a run ends.
type Ending struct {
	Verdict Verdict `yaml:"verdict" json:"verdict,omitempty"`
	Say     Text    `yaml:"say" json:"say,omitzero"`
}

// After is a timer.
type After struct {
	Wait string   `yaml:"wait" json:"wait" doc:"30m, 24h"`
	Do   []Effect `yaml:"do" json:"do,omitempty"`
	To   string   `yaml:"to" json:"to,omitempty"`
}

// Effect is one thing that a step does: exactly one of its kinds is given.
type Effect struct {
	When     string    `yaml:"when" json:"when,omitempty" doc:"Condition: done only when it holds"`
	Each     any       `yaml:"each" json:"each,omitempty" doc:"A list: done for each, which is seen as it"`
	Event    *Event    `yaml:"event" json:"event,omitempty"`
	Register *Register `yaml:"register" json:"register,omitempty"`
	Change   *Change   `yaml:"change" json:"change,omitempty"`
	Issue    *Issue    `yaml:"issue" json:"issue,omitempty"`
	Message  *Message  `yaml:"message" json:"message,omitempty"`
	Task     *TaskRule `yaml:"task" json:"task,omitempty"`
	Divert   *Divert   `yaml:"divert" json:"divert,omitempty"`
	Start    *Start    `yaml:"start" json:"start,omitempty"`
}

// Event is an event to be captured, in the words of EPCIS 2.0.
type Event struct {
	Type         string         `yaml:"type" json:"type" enum:"ObjectEvent,AggregationEvent,TransactionEvent,TransformationEvent,AssociationEvent"`
	Action       any            `yaml:"action" json:"action,omitempty"`
	Step         any            `yaml:"step" json:"step,omitempty"`
	Disposition  any            `yaml:"disposition" json:"disposition,omitempty"`
	Things       any            `yaml:"things" json:"things,omitempty"`
	Parent       any            `yaml:"parent" json:"parent,omitempty"`
	Children     any            `yaml:"children" json:"children,omitempty"`
	Inputs       any            `yaml:"inputs" json:"inputs,omitempty"`
	Outputs      any            `yaml:"outputs" json:"outputs,omitempty"`
	Place        any            `yaml:"place" json:"place,omitempty"`
	ReadPoint    any            `yaml:"readPoint" json:"readPoint,omitempty"`
	Quantities   []Amount       `yaml:"quantities" json:"quantities,omitempty"`
	Transactions []Typed        `yaml:"transactions" json:"transactions,omitempty"`
	Sources      []Typed        `yaml:"sources" json:"sources,omitempty"`
	Destinations []Typed        `yaml:"destinations" json:"destinations,omitempty"`
	Sensors      []Reading      `yaml:"sensors" json:"sensors,omitempty"`
	Ext          map[string]any `yaml:"ext" json:"ext,omitempty" doc:"Fields of the solution's own"`
}

// Amount is so much of a class of things.
type Amount struct {
	Class    any `yaml:"class" json:"class"`
	Quantity any `yaml:"quantity" json:"quantity,omitempty"`
	Unit     any `yaml:"unit" json:"unit,omitempty"`
}

// Typed is a transaction, a source or a destination.
type Typed struct {
	Type string `yaml:"type" json:"type"`
	ID   any    `yaml:"id" json:"id"`
}

// Reading is what a sensor said.
type Reading struct {
	Type   string `yaml:"type" json:"type"`
	Value  any    `yaml:"value" json:"value"`
	Unit   string `yaml:"unit" json:"unit,omitempty"`
	Time   any    `yaml:"time" json:"time,omitempty"`
	Device any    `yaml:"device" json:"device,omitempty"`
}

// Register makes a record.
type Register struct {
	ID       any            `yaml:"id" json:"id"`
	Template string         `yaml:"template" json:"template"`
	Values   map[string]any `yaml:"values" json:"values,omitempty"`
	Over     bool           `yaml:"over" json:"over,omitempty" doc:"In the place of one that there is"`
	IfAbsent bool           `yaml:"ifAbsent" json:"ifAbsent,omitempty" doc:"One that there is stays as it is"`
}

// Change sets properties of a record; null removes one.
type Change struct {
	ID     any            `yaml:"id" json:"id"`
	Values map[string]any `yaml:"values" json:"values"`
	If     map[string]any `yaml:"if" json:"if,omitempty" doc:"Only while these properties are so; else the run is held"`
}

// Issue takes codes of a code rule, and registers them when a template is given.
type Issue struct {
	Rule     string         `yaml:"rule" json:"rule"`
	Count    any            `yaml:"count" json:"count,omitempty" doc:"1 if absent: the variable is a text; else a list"`
	As       string         `yaml:"as" json:"as"`
	Class    any            `yaml:"class" json:"class,omitempty"`
	Template string         `yaml:"template" json:"template,omitempty"`
	Values   map[string]any `yaml:"values" json:"values,omitempty"`
}

// Message goes into the inbox of a system of the enterprise.
type Message struct {
	To   string         `yaml:"to" json:"to"`
	Kind string         `yaml:"kind" json:"kind"`
	Body map[string]any `yaml:"body" json:"body,omitempty"`
}

// TaskRule opens a task for people.
type TaskRule struct {
	When     string   `yaml:"when" json:"when,omitempty"`
	As       string   `yaml:"as" json:"as,omitempty"`
	For      []string `yaml:"for" json:"for"`
	Name     Text     `yaml:"name" json:"name"`
	About    any      `yaml:"about" json:"about,omitempty"`
	Due      string   `yaml:"due" json:"due,omitempty" doc:"24h"`
	Escalate []string `yaml:"escalate" json:"escalate,omitempty" doc:"Roles that see it too once it is overdue"`
}

// Divert orders a sorter to send a thing elsewhere: a message of kind divert.
type Divert struct {
	Thing any    `yaml:"thing" json:"thing"`
	Exit  string `yaml:"exit" json:"exit"`
	Why   any    `yaml:"why" json:"why,omitempty"`
	To    string `yaml:"to" json:"to"`
}

// Start begins a run of another flow, which waits at its first step for whoever scans the thing. One that is open about it already goes on instead.
type Start struct {
	Flow  string `yaml:"flow" json:"flow" doc:"Of this solution, or solution/flow"`
	About any    `yaml:"about" json:"about"`
}

// Way is one of the ways on from a step.
type Way struct {
	When string `yaml:"when" json:"when,omitempty"`
	To   string `yaml:"to" json:"to"`
}

// Next is where a run goes: a step's name, or ways of which the first that holds is taken.
type Next []Way

// UnmarshalYAML takes a name or a list.
func (n *Next) UnmarshalYAML(unmarshal func(any) error) error {
	var name string
	if err := unmarshal(&name); err == nil {
		*n = Next{{To: name}}
		return nil
	}
	var ways []Way
	if err := unmarshal(&ways); err != nil {
		return err
	}
	*n = ways
	return nil
}

const maxDefinition = 256 << 10

// Parse reads a declaration, strictly. file names it in faults. Errors: Faults.
func Parse(file string, b []byte) (*Definition, error) {
	d := &Definition{file: file, src: b}
	if len(b) > maxDefinition {
		return nil, Faults{{File: file, EN: fmt.Sprintf("it has over %d bytes", maxDefinition), ZH: fmt.Sprintf("超过 %d 字节", maxDefinition)}}
	}
	if err := decode(file, b, d); err != nil {
		return nil, err
	}
	return d, nil
}

// decode reads YAML and says where it is wrong.
func decode(file string, b []byte, into any) error {
	err := unmarshal(b, into)
	if err == nil {
		return nil
	}
	f := Fault{File: file, EN: strings.TrimSpace(err.Error()), ZH: strings.TrimSpace(err.Error())}
	var y yaml.Error
	if errors.As(err, &y) {
		if t := y.GetToken(); t != nil && t.Position != nil {
			f.Line = t.Position.Line
		}
		f.EN = y.GetMessage() + ": see the JSON Schema for what may stand here"
		f.ZH = y.GetMessage() + "：可用的键见 JSON Schema"
	}
	return Faults{f}
}

// unmarshal takes a panic of the YAML library, which some texts that are no YAML cause, for the fault that it is.
func unmarshal(b []byte, into any) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("it cannot be read as YAML: a key has a tag or an anchor in the place of its value; take it out")
		}
	}()
	// Aliases of aliases make a small file huge.
	file, err := parser.ParseBytes(b, 0)
	if err != nil {
		return err
	}
	for _, doc := range file.Docs {
		if doc != nil && doc.Body != nil && len(ast.Filter(ast.AliasType, doc.Body)) > 0 {
			return errors.New("it has an alias (*name): write out what it stands for")
		}
	}
	return yaml.UnmarshalWithOptions(b, into, yaml.Strict())
}

// line is where a path ($.steps[1].checks[0].when) stands in the file; of what is not there, where its nearest ancestor does.
func line(src []byte, path string) int {
	for path != "" && path != "$" {
		if p, err := yaml.PathString(path); err == nil {
			if n, err := p.ReadNode(bytes.NewReader(src)); err == nil && n != nil {
				return lineOf(n)
			}
		}
		i := strings.LastIndexAny(path, ".[")
		if i <= 0 {
			break
		}
		path = path[:i]
	}
	return 1
}

func lineOf(n ast.Node) int {
	if m, ok := n.(*ast.MappingNode); ok && len(m.Values) > 0 {
		return m.Values[0].Key.GetToken().Position.Line
	}
	if t := n.GetToken(); t != nil && t.Position != nil {
		return t.Position.Line
	}
	return 1
}

var (
	nameRule = regexp.MustCompile(`^[a-z][a-z0-9]*(-[a-z0-9]+)*$`)
	bindRule = regexp.MustCompile(`^[a-z][A-Za-z0-9_]*$`)
)

// taken are names that an expression means something else by.
var taken = map[string]bool{
	"form": true, "vars": true, "uses": true, "parties": true, "who": true, "device": true, "where": true, "now": true, "at": true, "run": true, "it": true, "match": true,
	"as": true, "break": true, "const": true, "continue": true, "else": true, "for": true, "function": true, "if": true, "import": true, "let": true, "loop": true, "package": true,
	"namespace": true, "return": true, "var": true, "void": true, "while": true, "true": true, "false": true, "null": true, "in": true,
}
