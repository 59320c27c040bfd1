package share

import (
	"strings"

	"github.com/fujie-id/fujie/problem"
)

var levelNames = [...]string{"nothing", "exists", "trace", "contents"}

// String is the level's name, as it stands in JSON.
func (l Level) String() string {
	if int(l) < len(levelNames) {
		return levelNames[l]
	}
	return levelNames[Nothing]
}

// ParseLevel reads a level's name. The error is of kind problem.BadValue.
func ParseLevel(s string) (Level, error) {
	for i, name := range levelNames {
		if strings.EqualFold(s, name) {
			return Level(i), nil
		}
	}
	if len(s) > 40 {
		s = s[:40]
	}
	return Nothing, problem.New(problem.BadValue, "%q is no level: take nothing, exists, trace or contents", "%q 不是共享级别：请用 nothing、exists、trace 或 contents", s)
}

// MarshalText is String.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is ParseLevel.
func (l *Level) UnmarshalText(b []byte) (err error) {
	*l, err = ParseLevel(string(b))
	return err
}
