package rest

import (
	"encoding/json"
	"math/bits"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Schedule says when a subscription reports, as the interface's fields do (EPCIS 2.0, 8.2.5.3): each field is a list of numbers and ranges, "5", "1,15",
// "[1-5]", "1-5"; "*" is every one, and "0/15" every fifteenth from 0. Days of the week are 1 (Monday) to 7. A field that is left out matches everything
// when a finer one is given, and the least value when none is: {hour: 1, minute: 5} is once a day, at 01:05:00.
type Schedule struct {
	Second     string `json:"second,omitempty"`
	Minute     string `json:"minute,omitempty"`
	Hour       string `json:"hour,omitempty"`
	DayOfMonth string `json:"dayOfMonth,omitempty"`
	Month      string `json:"month,omitempty"`
	DayOfWeek  string `json:"dayOfWeek,omitempty"`
}

// UnmarshalJSON takes numbers for texts too, since many write them so.
func (s *Schedule) UnmarshalJSON(raw []byte) error {
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	*s = Schedule{}
	for name, to := range s.fields() {
		switch v := fields[name].(type) {
		case nil:
		case string:
			*to = v
		case float64:
			*to = strconv.FormatFloat(v, 'f', -1, 64)
		default:
			return problem.New(problem.BadRequest, "the schedule's %s is neither a text nor a number", "计划的 %s 既非文本也非数字", name)
		}
		delete(fields, name)
	}
	for name := range fields {
		return problem.New(problem.BadRequest, "the schedule has a field %q that is none: use second, minute, hour, dayOfMonth, month, dayOfWeek",
			"计划中的字段 %q 无法识别：请使用 second、minute、hour、dayOfMonth、month、dayOfWeek", name)
	}
	return nil
}

func (s *Schedule) fields() map[string]*string {
	return map[string]*string{"second": &s.Second, "minute": &s.Minute, "hour": &s.Hour, "dayOfMonth": &s.DayOfMonth, "month": &s.Month, "dayOfWeek": &s.DayOfWeek}
}

// scheduleOf reads a schedule from a request's parameters; nil when it has none.
func scheduleOf(v url.Values) *Schedule {
	var s Schedule
	found := false
	for name, to := range s.fields() {
		if v.Has(name) {
			*to, found = v.Get(name), true
		}
	}
	if !found {
		return nil
	}
	return &s
}

// clock is a schedule ready to be asked: a bit for each value that matches.
type clock struct{ second, minute, hour, day, month, week uint64 }

func controlsError(en, zh string, args ...any) error {
	return fault(http.StatusBadRequest, "SubscriptionControlsException", problem.New(problem.BadRequest, en, zh, args...))
}

// parseField reads one field into bits.
func parseField(name, text string, low, high int) (uint64, error) {
	bad := func() (uint64, error) {
		return 0, controlsError("the schedule's %s=%q is no list of numbers from %d to %d: write it as 5, 1,15 or [1-5]",
			"计划的 %s=%q 不是 %d 至 %d 之间的数字列表：请写作 5、1,15 或 [1-5]", name, text, low, high)
	}
	if len(text) > 400 {
		return bad()
	}
	num := func(s string) (int, bool) {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		return n, err == nil && n >= low && n <= high
	}
	var set uint64
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if inner, ok := strings.CutPrefix(part, "["); ok {
			if part, ok = strings.CutSuffix(inner, "]"); !ok {
				return bad()
			}
		}
		part, stepText, stepped := strings.Cut(part, "/")
		step := 1
		if stepped {
			var err error
			if step, err = strconv.Atoi(strings.TrimSpace(stepText)); err != nil || step < 1 || step > high {
				return bad()
			}
		}
		from, to := low, high
		if part != "*" {
			a, b, ranged := strings.Cut(part, "-")
			var ok bool
			if from, ok = num(a); !ok {
				return bad()
			}
			switch {
			case ranged:
				if to, ok = num(b); !ok || to < from {
					return bad()
				}
			case !stepped:
				to = from
			}
		}
		for n := from; n <= to; n += step {
			set |= 1 << n
		}
	}
	return set, nil
}

// parse makes a clock. One that never strikes is refused.
func (s *Schedule) parse(zone *time.Location) (c clock, err error) {
	if *s == (Schedule{}) {
		return c, controlsError("the schedule is empty: give at least one of second, minute, hour, dayOfMonth, month, dayOfWeek",
			"计划为空：请至少给出 second、minute、hour、dayOfMonth、month、dayOfWeek 之一")
	}
	finer := false
	for _, f := range []struct {
		name, text string
		low, high  int
		to         *uint64
	}{
		{"second", s.Second, 0, 59, &c.second},
		{"minute", s.Minute, 0, 59, &c.minute},
		{"hour", s.Hour, 0, 23, &c.hour},
		{"dayOfMonth", s.DayOfMonth, 1, 31, &c.day},
		{"month", s.Month, 1, 12, &c.month},
		{"dayOfWeek", s.DayOfWeek, 1, 7, &c.week},
	} {
		text := f.text
		if text == "" {
			text = "*"
			day := f.name == "dayOfMonth" || f.name == "month"
			if !finer && f.name != "dayOfWeek" && !(day && s.DayOfWeek != "") {
				text = strconv.Itoa(f.low)
			}
		} else {
			finer = true
		}
		if *f.to, err = parseField(f.name, text, f.low, f.high); err != nil {
			return c, err
		}
	}
	if c.next(time.Date(2000, 1, 1, 0, 0, 0, 0, zone)).IsZero() {
		return c, controlsError("no day is ever in the schedule's dayOfMonth, month and dayOfWeek: correct them", "没有任何日期符合计划的 dayOfMonth、month 与 dayOfWeek：请更正")
	}
	return c, nil
}

// next is the first strike after t, in t's zone; zero when there is none within 28 years, after which the calendar repeats.
func (c clock) next(t time.Time) time.Time {
	zone := t.Location()
	t = t.Truncate(time.Second).Add(time.Second)
	for day, end := time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, zone), t.AddDate(28, 0, 1); day.Before(end); day = time.Date(day.Year(), day.Month(), day.Day()+1, 0, 0, 0, 0, zone) {
		week := int(day.Weekday()+6)%7 + 1
		if c.month>>day.Month()&1 == 0 || c.day>>day.Day()&1 == 0 || c.week>>week&1 == 0 {
			continue
		}
		for hours := c.hour; hours != 0; hours &= hours - 1 {
			hour := bits.TrailingZeros64(hours)
			if last := time.Date(day.Year(), day.Month(), day.Day(), hour, 59, 59, 0, zone); last.Before(t) {
				continue
			}
			for minutes := c.minute; minutes != 0; minutes &= minutes - 1 {
				minute := bits.TrailingZeros64(minutes)
				for seconds := c.second; seconds != 0; seconds &= seconds - 1 {
					at := time.Date(day.Year(), day.Month(), day.Day(), hour, minute, bits.TrailingZeros64(seconds), 0, zone)
					if !at.Before(t) {
						return at
					}
				}
			}
		}
	}
	return time.Time{}
}
