// Package tokens keeps the tokens by which programs call the management API. Each has a
// name, a role and, if wanted, an end. Only hashes are kept: a plain one is enough, as a
// token is 256 random bits and not a password that could be guessed.
//
// The token of a new node, called [First], has a file of its own, as it had when it was
// the only one; all the others are in another file beside it.
package tokens

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/internal/atomicfile"
)

const (
	// First is the name of the token that a node makes at its first start. It is an
	// admin's and has no end.
	First = "first"
	// FirstMark ends the name of the file that holds the text of that token once.
	FirstMark = ".first"
	// mostTokens bounds those with a name, longestName a name in characters.
	mostTokens, longestName = 64, 64
	// mostLife is the farthest end of a token.
	mostLife = 5 * 366 * 24 * time.Hour
	// tellUse is how much later a use must be to be written down.
	tellUse    = time.Hour
	tokenBytes = 32
)

// Token is what is known of one.
type Token struct {
	Name             string
	Role             accounts.Role
	Created, Expires time.Time // Expires zero = never
	Used             time.Time // zero = not yet, to the hour after a restart
}

// live reports whether it opens anything.
func (t Token) live(now time.Time) bool { return t.Expires.IsZero() || now.Before(t.Expires) }

// Errors of a change.
var (
	ErrNotFound = errors.New("there is no token of that name")
	ErrFull     = fmt.Errorf("there are %d tokens: revoke one first", mostTokens)
)

// FieldError is a mistake in what was asked for.
type FieldError struct{ Field, Reason string }

// Error returns the reason.
func (e *FieldError) Error() string { return e.Reason }

// Options say where the tokens are; all are required.
type Options struct {
	// FirstFile keeps the hash of the first token, mode 0600. If it is missing the token
	// is made, and its text is left once in that name with [FirstMark].
	FirstFile string
	// File keeps the hashes of the others, mode 0600.
	File string
	Now  func() time.Time
}

type hash [sha256.Size]byte

// Store is safe for concurrent use.
type Store struct {
	opts Options

	mu    sync.Mutex
	set   map[hash]Token // the first one too, unless it is revoked
	saved time.Time      // when uses were written down last
}

// Open reads the files, or makes the first token.
func Open(opts Options) (*Store, error) {
	s := &Store{opts: opts}
	var err error
	var usedFirst time.Time
	if s.set, usedFirst, err = readFile(opts.File); err != nil {
		return nil, err
	}
	first, made, err := readFirst(opts.FirstFile)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, s.makeFirst()
	case err != nil:
		return nil, err
	case first != hash{}:
		s.set[first] = Token{Name: First, Role: accounts.Admin, Created: made, Used: usedFirst}
	}
	return s, nil
}

// makeFirst makes the token of a new node and leaves its text for the operator.
func (s *Store) makeFirst() error {
	text := newText()
	if err := atomicfile.Write(s.opts.FirstFile+FirstMark, []byte(text+"\n"), 0o600); err != nil {
		return err
	}
	return s.setFirst(sum(text))
}

// ReplaceFirst makes the first token anew, valid at once; the old one is not any more.
func (s *Store) ReplaceFirst() (string, error) {
	text := newText()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.setFirst(sum(text)); err != nil {
		return "", err
	}
	return text, s.forgetText()
}

// forgetText removes the text that was left for the operator.
func (s *Store) forgetText() error {
	if err := os.Remove(s.opts.FirstFile + FirstMark); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the first token: %w", err)
	}
	return nil
}

// setFirst keeps the hash of the first token; that of none is zero.
func (s *Store) setFirst(h hash) error {
	if err := writeFirst(s.opts.FirstFile, h); err != nil {
		return err
	}
	s.drop(First)
	if h != (hash{}) {
		s.set[h] = Token{Name: First, Role: accounts.Admin, Created: s.opts.Now().UTC()}
	}
	return nil
}

// drop forgets a token and tells what it was.
func (s *Store) drop(name string) (hash, Token, bool) {
	for h, t := range s.set {
		if t.Name == name {
			delete(s.set, h)
			return h, t, true
		}
	}
	return hash{}, Token{}, false
}

// Find returns the live token of that text and notes that it was used. The set is searched
// by hash, so the time it takes tells nothing about other tokens.
func (s *Store) Find(text string) (Token, bool) {
	if len(text) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return Token{}, false
	}
	h, now := sum(text), s.opts.Now().UTC()
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.set[h]
	if !ok || !t.live(now) {
		return Token{}, false
	}
	tell := now.Sub(t.Used) >= tellUse && now.Sub(s.saved).Abs() >= time.Minute
	t.Used = now
	s.set[h] = t
	if tell { // a use that cannot be written down is known until the end
		s.saved = now
		_ = s.save()
	}
	return t, true
}

// Create makes a token and returns its text, which is nowhere kept. Life 0 = without end.
// A mistake in what is asked for is a [*FieldError].
func (s *Store) Create(name string, role accounts.Role, life time.Duration) (string, Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.check(name, role, life); err != nil {
		return "", Token{}, err
	}
	t := Token{Name: name, Role: role, Created: s.opts.Now().UTC().Truncate(time.Second)}
	if life > 0 {
		t.Expires = t.Created.Add(life)
	}
	text := newText()
	s.set[sum(text)] = t
	if err := s.save(); err != nil {
		delete(s.set, sum(text))
		return "", Token{}, err
	}
	return text, t, nil
}

func (s *Store) check(name string, role accounts.Role, life time.Duration) error {
	switch {
	case !validName(name):
		return &FieldError{"name", fmt.Sprintf("write 1 to %d letters, digits, dots, dashes or underscores", longestName)}
	case name == First:
		return &FieldError{"name", "the token of that name is made by lbctl token on the node itself"}
	case role < accounts.Auditor || role > accounts.Admin:
		return &FieldError{"role", "choose auditor, operator or admin"}
	case life < 0 || life > mostLife || life > 0 && life < time.Minute:
		return &FieldError{"expires_in", fmt.Sprintf("write a time from 1m to %s such as 720h, or nothing for no end", mostLife)}
	}
	named := slices.DeleteFunc(s.list(), func(t Token) bool { return t.Name == First })
	switch {
	case slices.ContainsFunc(named, func(t Token) bool { return t.Name == name }):
		return &FieldError{"name", "there is a token of that name: revoke it first, or choose another name"}
	case len(named) >= mostTokens:
		return ErrFull
	}
	return nil
}

func validName(name string) bool {
	return name != "" && len(name) <= longestName && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// Revoke makes a token worthless at once: [ErrNotFound] if there is none of that name.
func (s *Store) Revoke(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	h, t, ok := s.drop(name)
	if !ok {
		return ErrNotFound
	}
	var err error
	if name == First {
		if err = writeFirst(s.opts.FirstFile, hash{}); err == nil {
			return s.forgetText()
		}
	} else {
		err = s.save()
	}
	if err != nil {
		s.set[h] = t
	}
	return err
}

// List returns all tokens, by name; the first one comes first.
func (s *Store) List() []Token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.list()
}

func (s *Store) list() []Token {
	out := make([]Token, 0, len(s.set))
	for _, t := range s.set {
		out = append(out, t)
	}
	rank := func(t Token) int {
		if t.Name == First {
			return 0
		}
		return 1
	}
	slices.SortFunc(out, func(a, b Token) int { return cmp.Or(rank(a)-rank(b), strings.Compare(a.Name, b.Name)) })
	return out
}

// newText returns 32 random bytes in base64url, 43 characters.
func newText() string {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails (crypto/rand)
	return base64.RawURLEncoding.EncodeToString(b)
}

func sum(text string) hash { return sha256.Sum256([]byte(text)) }
