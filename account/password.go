package account

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"
	"golang.org/x/text/unicode/norm"

	"github.com/fujie-id/fujie/problem"
)

// Argon2id (RFC 9106) with the parameters that OWASP gives for 19 MiB. A hash says its own, so that they may grow.
const (
	hashMemory = 19 << 10 // KiB
	hashTime   = 2
	hashLen    = 32
	saltLen    = 16

	maxHashing  = 4       // hashes worked on at once
	maxMemory   = 1 << 20 // KiB, of a stored hash
	maxTime     = 16
	minPassword = 10
	maxPassword = 256
)

// turn waits for a place among those that hash.
func (a *Accounts) turn(ctx context.Context) (done func(), err error) {
	select {
	case a.hashing <- struct{}{}:
		return func() { <-a.hashing }, nil
	case <-ctx.Done():
		return nil, problem.Wrap(ctx.Err(), problem.Busy, "too many log in at once: try again in a moment", "同时登录的人过多：请稍后再试")
	}
}

// hash makes the stored form of a password: $argon2id$v=19$m=…,t=…,p=1$salt$hash.
func (a *Accounts) hash(ctx context.Context, password string) (string, error) {
	done, err := a.turn(ctx)
	if err != nil {
		return "", err
	}
	defer done()
	salt := a.random(saltLen)
	h := argon2.IDKey(norm.NFKC.Bytes([]byte(password)), salt, hashTime, hashMemory, 1, hashLen)
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=1$%s$%s", argon2.Version, hashMemory, hashTime, b64.EncodeToString(salt), b64.EncodeToString(h)), nil
}

// phc is a stored hash taken apart.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, hash   []byte
}

// parsePHC reads a stored hash; ok is false for what this room did not write.
func parsePHC(s string) (p phc, ok bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != fmt.Sprintf("v=%d", argon2.Version) {
		return p, false
	}
	if n, err := fmt.Sscanf(parts[3], "m=%d,t=%d,p=%d", &p.memory, &p.time, &p.threads); n != 3 || err != nil {
		return p, false
	}
	var err error
	if p.salt, err = base64.RawStdEncoding.DecodeString(parts[4]); err != nil {
		return p, false
	}
	if p.hash, err = base64.RawStdEncoding.DecodeString(parts[5]); err != nil {
		return p, false
	}
	return p, p.memory > 0 && p.memory <= maxMemory && p.time > 0 && p.time <= maxTime && p.threads > 0 && len(p.salt) >= 8 && len(p.hash) >= 16 && len(p.hash) <= 64
}

// matches checks a password against a stored hash. For the hash of nobody, which is empty, it does the same work and
// says no.
func (a *Accounts) matches(ctx context.Context, stored, password string) (bool, error) {
	real := stored != ""
	if !real {
		stored = a.decoy
	}
	p, ok := parsePHC(stored)
	if !ok {
		real = false
		p, _ = parsePHC(a.decoy)
	}
	if utf8.RuneCountInString(password) > maxPassword {
		real, password = false, ""
	}
	done, err := a.turn(ctx)
	if err != nil {
		return false, err
	}
	defer done()
	h := argon2.IDKey(norm.NFKC.Bytes([]byte(password)), p.salt, p.time, p.memory, p.threads, uint32(len(p.hash)))
	return subtle.ConstantTimeCompare(h, p.hash) == 1 && real, nil
}

// checkPassword says whether a new password is good enough for the account called name.
func checkPassword(password, name string) error {
	n := utf8.RuneCountInString(password)
	seen := map[rune]bool{}
	for _, r := range password {
		seen[r] = true
	}
	switch {
	case !utf8.ValidString(password), n < minPassword, n > maxPassword:
		return problem.New(problem.BadValue, "the password takes %d to %d characters: a sentence is easy to remember", "密码应为 %d 至 %d 个字符：用一句话更好记", minPassword, maxPassword)
	case len(seen) < 5:
		return problem.New(problem.BadValue, "the password has fewer than five different characters: take a sentence", "密码中不同的字符少于五个：请用一句话")
	case len(name) > 2 && strings.Contains(strings.ToLower(password), strings.ToLower(name)):
		return problem.New(problem.BadValue, "the password contains the account's name: take another", "密码包含账户名：请换一个")
	}
	return nil
}

// fingerprint is how a random code is kept: long enough that nobody finds it again from this.
func fingerprint(code string) []byte {
	h := sha256.Sum256([]byte(code))
	return h[:]
}
