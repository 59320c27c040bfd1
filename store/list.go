package store

import "bytes"

// Subject is how many bytes at the beginning of a key say what it is about. Many keys may be about one thing, and stand next to each other: the events of a bottle. An
// engine may keep filters of subjects, so that a span of one thing's keys is not looked for where the thing is unknown. They lie on disk, and whoever opens the
// same folder must see the same subjects: that is why this stands here and is no option, and why it never changes.
//
// A key that is about what others are about has the form
//
//	'E' text 00 'k' name 00 place
//
// where a zero byte in the name is followed by ff, and no place begins with ff; its subject ends with the zero byte before the place. Every other key is its own
// subject. Subjects stand in the order of their keys.
func Subject(key []byte) int {
	n, _ := subject(key)
	return n
}

// subject is what Subject says, and whether others may be about it too.
func subject(key []byte) (n int, shared bool) {
	if len(key) < 4 || key[0] != 'E' {
		return len(key), false
	}
	at := bytes.IndexByte(key, 0)
	if at < 0 || at+1 >= len(key) || key[at+1] != 'k' {
		return len(key), false
	}
	for at += 2; at < len(key); at += 2 {
		zero := bytes.IndexByte(key[at:], 0)
		if zero < 0 {
			break
		}
		if at += zero; at+1 == len(key) || key[at+1] != 0xff {
			return at + 1, true
		}
	}
	return len(key), false
}

// OneSubject says whether all keys that can stand in the span are about what From is about.
func (s *Span) OneSubject() bool {
	n, shared := subject(s.From)
	if !shared || len(s.To) <= n || !bytes.Equal(s.From[:n], s.To[:n]) {
		return false
	}
	return s.To[n] != 0xff || len(s.To) == n+1
}
