package flow

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/store/table"
)

// Run is one passage through a flow, as it rests.
type Run struct {
	ID      string    `json:"run"`
	Flow    string    `json:"flow"` // solution/flow
	Version string    `json:"version,omitempty"`
	About   string    `json:"about"` // as it was scanned
	Key     string    `json:"key"`   // in the form in which two spellings are equal
	State   State     `json:"state"`
	Step    string    `json:"step"` // where it stands; empty when it is over
	Verdict Verdict   `json:"verdict"`
	Say     Text      `json:"say,omitzero"`
	Steps   int       `json:"steps"` // scans so far
	Started time.Time `json:"started"`
	Last    time.Time `json:"last"`
	By      string    `json:"by,omitempty"`
	Wake    time.Time `json:"wake,omitzero"` // when its timer is due
	Vars    tree      `json:"vars,omitempty"`
	Saw     tree      `json:"saw,omitempty"`    // what its bindings are
	Form    tree      `json:"form,omitempty"`   // what was filled in last
	Stop    string    `json:"stop,omitempty"`   // the check that holds it
	Holds   []string  `json:"holds,omitempty"`  // keys of what was scanned into it that no other open run of the flow may take
	Pardon  []string  `json:"pardon,omitempty"` // checks of this step that do not stop it any more: somebody let it go on
}

// Entry is one line of the journal: a scan, and what became of it.
type Entry struct {
	Seq      uint64    `json:"seq"`
	Scan     string    `json:"scan,omitempty"` // the sender's own number of it
	Kind     string    `json:"kind"`           // scan, timer, note, cancel, release
	Run      string    `json:"run,omitempty"`
	No       int       `json:"no,omitempty"`
	Flow     string    `json:"flow,omitempty"`
	Step     string    `json:"step,omitempty"`
	About    string    `json:"about,omitempty"`
	Code     string    `json:"code,omitempty"`
	Verdict  Verdict   `json:"verdict"`
	Say      Text      `json:"say,omitzero"`
	Who      string    `json:"who,omitempty"`
	Device   string    `json:"device,omitempty"`
	Place    string    `json:"place,omitempty"`
	At       time.Time `json:"at"`       // when it was scanned, by the scanner's clock
	Received time.Time `json:"received"` // when it came here
	Micros   int64     `json:"micros"`   // how long the answer took
	Started  time.Time `json:"started,omitzero"`
	State    State     `json:"state,omitempty"` // of the run afterwards
	Explain  []Reason  `json:"explain,omitempty"`
	Undo     []act     `json:"undo,omitempty"`
	Effects  []Done    `json:"effects,omitempty"`
	Result   *Result   `json:"result,omitempty"` // what was answered
}

// Reason is one check, and how it came out.
type Reason struct {
	Check   string `json:"check"`
	Outcome string `json:"outcome"`             // true, false, or an error's words
	ZH      string `json:"outcomeZh,omitempty"` // the same in Chinese, where it is a sentence of ours
}

// Done is one effect of a step.
type Done struct {
	Kind string `json:"kind"`
	What string `json:"what"`
	// State is done for what is in the same write as the step; queued for what follows from it, which is certain, and done within moments.
	State string `json:"state,omitempty" enum:"queued,done"`
}

// Task is work for people.
type Task struct {
	ID       string    `json:"task"`
	Run      string    `json:"run"`
	Flow     string    `json:"flow"`
	Name     Text      `json:"name"`
	About    string    `json:"about,omitempty"`
	For      []string  `json:"for"` // roles
	Escalate []string  `json:"escalate,omitempty"`
	State    string    `json:"state"` // open, taken, done
	By       string    `json:"by,omitempty"`
	Made     time.Time `json:"made"`
	Due      time.Time `json:"due,omitzero"`
	Late     bool      `json:"late,omitempty"`
	Note     string    `json:"note,omitempty"`
}

// Mail is a message in a system's inbox.
type Mail struct {
	Seq  uint64    `json:"seq"`
	To   string    `json:"to"` // solution/system
	Kind string    `json:"kind"`
	Body tree      `json:"body"`
	Run  string    `json:"run,omitempty"`
	At   time.Time `json:"at"`
}

// act is an effect that waits to be done, whole: nothing more is looked up for it.
type act struct {
	Seq   uint64          `json:"seq"`
	Run   string          `json:"run"`
	Flow  string          `json:"flow"`
	No    int             `json:"no"` // of the scan within its run
	N     int             `json:"n"`  // of the effect within the scan
	By    Actor           `json:"by"`
	Write *RecordWrite    `json:"write,omitempty"`
	Event json.RawMessage `json:"event,omitempty"` // EPCIS JSON-LD
	Keys  []string        `json:"keys"`            // of the things that it touches
}

// Actor is in whose name an effect is done.
type Actor struct {
	Index uint32 `json:"index,omitempty"`
	Name  string `json:"name,omitempty"`
}

// RecordWrite is a record to be made or changed.
type RecordWrite struct {
	Solution string             `json:"solution"`
	Change   bool               `json:"change,omitempty"`
	ID       string             `json:"id"`
	Template string             `json:"template,omitempty"` // short name
	Values   map[string]*string `json:"values,omitempty"`   // null removes
	If       map[string]string  `json:"if,omitempty"`
	Over     bool               `json:"over,omitempty"`
	IfAbsent bool               `json:"ifAbsent,omitempty"`
}

// tree is values of expressions, kept so that whole numbers and others come back as what they were.
type tree map[string]any

// MarshalJSON writes numbers that are no whole ones with a point.
func (t tree) MarshalJSON() ([]byte, error) { return appendTree(nil, map[string]any(t)) }

func appendTree(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return append(dst, "null"...), nil
		}
		at := len(dst)
		dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
		if !bytes.ContainsAny(dst[at:], ".e") {
			dst = append(dst, ".0"...)
		}
		return dst, nil
	case time.Time:
		return appendTree(dst, text(v))
	case time.Duration:
		return appendTree(dst, v.String())
	case tree:
		return appendTree(dst, map[string]any(v))
	case []any:
		dst = append(dst, '[')
		for i, x := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendTree(dst, x); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case map[string]any:
		dst = append(dst, '{')
		first := true
		for _, k := range sorted(v) {
			if !first {
				dst = append(dst, ',')
			}
			first = false
			name, err := json.Marshal(k)
			if err != nil {
				return nil, err
			}
			dst = append(append(dst, name...), ':')
			if dst, err = appendTree(dst, v[k]); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	b, err := json.Marshal(v)
	return append(dst, b...), err
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (t *tree) UnmarshalJSON(b []byte) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var m map[string]any
	if err := d.Decode(&m); err != nil {
		return err
	}
	*t, _ = numbers(m).(map[string]any)
	return nil
}

func numbers(v any) any {
	switch v := v.(type) {
	case json.Number:
		if !strings.ContainsAny(string(v), ".eE") {
			if n, err := v.Int64(); err == nil {
				return n
			}
		}
		f, _ := v.Float64()
		return f
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
		return v
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
		return v
	}
	return v
}

func big(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

func stamp(t time.Time) []byte { return big(uint64(t.UnixNano())) }

func pair(a, b string) []byte { return []byte(a + "\x00" + b) }

var (
	runs = &table.Table[Run]{Name: "flow.runs", Key: func(r Run) []byte { return []byte(r.ID) }, Indexes: []table.Index[Run]{
		// The runs about a thing that are not over, by flow.
		{Name: "about", Values: func(r Run) [][]byte {
			if r.State == Open || r.State == Held {
				return [][]byte{pair(r.Key, r.Flow)}
			}
			return nil
		}},
		// What is in a run that is not over, and may be in one only.
		{Name: "holds", Values: func(r Run) (out [][]byte) {
			if r.State == Open || r.State == Held {
				for _, key := range r.Holds {
					out = append(out, pair(key, r.Flow))
				}
			}
			return out
		}},
		{Name: "thing", Values: func(r Run) [][]byte { return [][]byte{pair(r.Key, r.Flow)} }},
		{Name: "flow", Values: func(r Run) [][]byte { return [][]byte{append(append([]byte(r.Flow), 0), stamp(r.Last)...)} }},
		{Name: "wake", Values: func(r Run) [][]byte {
			if r.Wake.IsZero() || r.State != Open {
				return nil
			}
			return [][]byte{stamp(r.Wake)}
		}},
	}}
	journal = &table.Table[Entry]{Name: "flow.journal", Key: func(e Entry) []byte { return big(e.Seq) }, Indexes: []table.Index[Entry]{
		{Name: "run", Values: func(e Entry) [][]byte {
			if e.Run == "" {
				return nil
			}
			return [][]byte{append(append([]byte(e.Run), 0), big(e.Seq)...)}
		}},
		{Name: "scan", Unique: true, Values: func(e Entry) [][]byte {
			if e.Scan == "" {
				return nil
			}
			return [][]byte{[]byte(e.Scan)}
		}},
	}}
	tasks = &table.Table[Task]{Name: "flow.tasks", Key: func(t Task) []byte { return []byte(t.ID) }, Indexes: []table.Index[Task]{
		{Name: "state", Values: func(t Task) [][]byte { return [][]byte{append(append([]byte(t.State), 0), stamp(t.Made)...)} }},
		{Name: "due", Values: func(t Task) [][]byte {
			if t.Due.IsZero() || t.Late || t.State == "done" {
				return nil
			}
			return [][]byte{stamp(t.Due)}
		}},
	}}
	inbox  = &table.Table[Mail]{Name: "flow.inbox", Key: func(m Mail) []byte { return append(append([]byte(m.To), 0), big(m.Seq)...) }}
	outbox = &table.Table[act]{Name: "flow.outbox", Key: func(a act) []byte { return big(a.Seq) }}
)

func sorted(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
