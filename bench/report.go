package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Report is what a run found. Its JSON form is for programs; fields are only ever added.
type Report struct {
	Date     time.Time `json:"date"`
	Commit   string    `json:"commit"`
	Command  string    `json:"command"`
	Machine  string    `json:"machine"`
	Layout   string    `json:"layout"`
	Names    uint64    `json:"names"`
	Rounds   int       `json:"rounds"`
	Turn     string    `json:"turn"`
	Took     string    `json:"took"`
	Quick    bool      `json:"quick,omitempty"`
	Tables   []Table   `json:"tables"`
	Figures  []Figure  `json:"figures,omitempty"`
	Verdicts []Judged  `json:"targets,omitempty"`
	Absent   []Absent  `json:"absent,omitempty"`
	Notes    []string  `json:"notes,omitempty"`
}

// Table is one scenario's servers.
type Table struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Rows  []Row  `json:"rows"`
	// Saturating says that the load asks for all that a server can give.
	Saturating bool `json:"saturating,omitempty"`
}

// Row is one server in a scenario: medians over its turns.
type Row struct {
	Subject  string    `json:"subject"`
	Rate     float64   `json:"rate"` // answers per second
	Rates    []float64 `json:"rates"`
	P50      float64   `json:"p50_us"`
	P90      float64   `json:"p90_us"`
	P99      float64   `json:"p99_us"`
	CPU      float64   `json:"processors"`                   // processors' worth of time that the server used
	Load     float64   `json:"load_processors"`              // and the load
	PerCPU   float64   `json:"answers_per_processor_second"` // of the server's time: steadier than Rate on a busy machine
	Resident uint64    `json:"resident_bytes"`
	Wrong    uint64    `json:"wrong,omitempty"`
	Lost     uint64    `json:"lost,omitempty"`
}

// Figure is one measured quantity of one subject that is no rate of answers.
type Figure struct {
	Scenario string    `json:"scenario"`
	Subject  string    `json:"subject"`
	What     string    `json:"what"`
	Unit     string    `json:"unit"`
	Value    float64   `json:"value"` // the median
	Values   []float64 `json:"values,omitempty"`
}

// Judged is a target and how far it was reached.
type Judged struct {
	Target string  `json:"target"`
	Least  float64 `json:"least,omitempty"`
	Most   float64 `json:"most,omitempty"`
	Got    float64 `json:"got"`
	ByCPU  float64 `json:"by_processor_time,omitempty"` // the same ratio of answers per processor second
	Met    bool    `json:"met"`
	Absent bool    `json:"not_measured,omitempty"`
}

// Absent is a server that took no part.
type Absent struct {
	Subject string `json:"subject"`
	Why     string `json:"why"`
}

// row is a subject in a scenario, or nil.
func (r *Report) row(scenario, subject string) *Row {
	for _, t := range r.Tables {
		for i := range t.Rows {
			if t.Name == scenario && t.Rows[i].Subject == subject {
				return &t.Rows[i]
			}
		}
	}
	return nil
}

// figure is the median of a quantity.
func (r *Report) figure(scenario, subject, what string) (float64, bool) {
	for _, f := range r.Figures {
		if f.Scenario == scenario && f.Subject == subject && f.What == what {
			return f.Value, true
		}
	}
	return 0, false
}

// add keeps the median of the values as a figure.
func (r *Report) add(scenario, subject, what, unit string, values ...float64) {
	if len(values) > 0 {
		r.Figures = append(r.Figures, Figure{scenario, subject, what, unit, median(values), values})
	}
}

// wrong names the servers that gave wrong answers; a figure made of refusals must not pass for one.
func (r *Report) wrong() string {
	var out []string
	for _, t := range r.Tables {
		for _, row := range t.Rows {
			if row.Wrong > 0 {
				out = append(out, fmt.Sprintf("%d from %s in %s", row.Wrong, row.Subject, t.Name))
			}
		}
	}
	return strings.Join(out, ", ")
}

// WriteMarkdown writes the report for people.
func (r *Report) WriteMarkdown(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# Bench of %s\n\n", r.Date.Format("2006-01-02 15:04 UTC"))
	if r.Quick {
		b.WriteString("**A quick run: it shows that everything works. Its figures mean nothing.**\n\n")
	}
	fmt.Fprintf(&b, "- commit `%s`\n- command `%s`\n- machine: %s\n- layout: %s\n- %d names stored; medians of %d alternating turns of %s; the whole run took %s\n",
		r.Commit, r.Command, r.Machine, r.Layout, r.Names, r.Rounds, r.Turn, r.Took)
	b.WriteString("- load: closed loop, batched generator of this program (recvmmsg, sendmmsg, UDP_SEGMENT); names picked at random, each as likely\n")
	if len(r.Verdicts) > 0 {
		b.WriteString("\n## Targets\n\n| target | wanted | got | by processor time | |\n|---|---|---|---|---|\n")
		for _, v := range r.Verdicts {
			want, got, mark := fmt.Sprintf("≥ %.4g", v.Least), fmt.Sprintf("%.4g", v.Got), "reached"
			if v.Most > 0 {
				want = fmt.Sprintf("≤ %.4g", v.Most)
			}
			if !v.Met {
				mark = "**not reached**"
			}
			cpu := "–"
			if v.ByCPU > 0 {
				cpu = fmt.Sprintf("%.4g", v.ByCPU)
			}
			if v.Absent {
				got, mark = "–", "not measured"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", v.Target, want, got, cpu, mark)
		}
	}
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n## %s (%s)\n\n", t.Title, t.Name)
		if len(t.Rows) == 0 {
			b.WriteString("No server took part.\n")
			continue
		}
		best := t.Rows[0].Rate
		fmt.Fprintf(&b, "| server | answers/s | least – most | of %s | p50 | p90 | p99 | per processor second | processor | load | resident | lost | wrong |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n", t.Rows[0].Subject)
		for _, row := range t.Rows {
			ratio := 0.0
			if best > 0 {
				ratio = row.Rate / best
			}
			fmt.Fprintf(&b, "| %s | %s | %s – %s | %.0f %% | %s | %s | %s | %s | %.0f %% | %.0f %% | %d MB | %d | %d |\n", row.Subject,
				thousands(row.Rate), thousands(slices.Min(row.Rates)), thousands(slices.Max(row.Rates)), ratio*100,
				us(row.P50), us(row.P90), us(row.P99), thousands(row.PerCPU), row.CPU*100, row.Load*100, row.Resident>>20, row.Lost, row.Wrong)
		}
	}
	if len(r.Figures) > 0 {
		b.WriteString("\n## Registration, start and size\n\n| scenario | subject | what | median | turns |\n|---|---|---|---:|---|\n")
		for _, f := range r.Figures {
			var turns []string
			for _, v := range f.Values {
				turns = append(turns, thousands(v))
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s %s | %s |\n", f.Scenario, f.Subject, f.What, thousands(f.Value), f.Unit, strings.Join(turns, ", "))
		}
	}
	if len(r.Absent) > 0 {
		b.WriteString("\n## Took no part\n\n")
		for _, a := range r.Absent {
			fmt.Fprintf(&b, "- %s: %s\n", a.Subject, a.Why)
		}
	}
	if len(r.Notes) > 0 {
		b.WriteString("\n## Notes\n\n")
		for _, n := range r.Notes {
			fmt.Fprintf(&b, "- %s\n", n)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// thousands writes a number with four or more significant figures, its thousands apart.
func thousands(v float64) string {
	if v < 1000 {
		return fmt.Sprintf("%.4g", v)
	}
	s := fmt.Sprintf("%.0f", v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// us writes microseconds.
func us(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.2f ms", v/1000)
	}
	return fmt.Sprintf("%.0f µs", v)
}

// save writes the report as DATE.md and DATE.json.
func (r *Report) save(dir string) error {
	full := func(err error) error {
		if err == nil {
			return nil
		}
		return problem.Wrap(err, problem.Full, "cannot write the report to %s; choose another folder with --out",
			"无法将报告写入 %s；请用 --out 另选目录", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return full(err)
	}
	name := filepath.Join(dir, r.Date.Format("2006-01-02T1504"))
	if r.Quick {
		name += "-quick"
	}
	var md strings.Builder
	if err := r.WriteMarkdown(&md); err != nil {
		return full(err)
	}
	if err := os.WriteFile(name+".md", []byte(md.String()), 0o644); err != nil {
		return full(err)
	}
	js, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return full(err)
	}
	return full(os.WriteFile(name+".json", append(js, '\n'), 0o644))
}
