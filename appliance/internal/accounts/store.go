package accounts

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// Errors of a [Store].
var (
	// ErrWrong means that the name and the password do not belong together; which of
	// the two is wrong nobody learns (ASVS 6.3.8).
	ErrWrong = errors.New("wrong name or password")
	// ErrNotFound means that there is no account of that name.
	ErrNotFound = errors.New("no such account")
	// ErrLastAdmin means that nobody could administer the node any more.
	ErrLastAdmin = errors.New("one account must be an admin: give another account that role first")
)

// mostAccounts bounds the file and the list.
const mostAccounts = 256

// Account is a person who may log in.
type Account struct {
	Name    string
	Role    Role
	Changed time.Time // when the password was set, UTC
	// Source is who knows the person instead of this node: "ldap"; "" = it is an account
	// of the node. The store keeps none of the others.
	Source string
	Mark   string // of the settings by which Source was asked
}

// record is an account with its hash.
type record struct {
	Account

	hash phc
}

// Store keeps the accounts of a node in one file, mode 0600, which is replaced in one
// step: what a method reports as done survives a crash. One process may use it.
type Store struct {
	path   string
	now    func() time.Time
	hasher *hasher
	decoy  phc // checked for names that nobody has

	mu  sync.Mutex
	set map[string]record // never changed, only replaced
}

// Open reads the accounts kept in path; a missing file is an empty store. It fails
// if the file is damaged, is of another version or has no admin, and says what to do;
// the file is left as it is.
func Open(path string) (*Store, error) { return open(path, defaultParams()) }

func open(path string, p params) (*Store, error) {
	set, err := readFile(path)
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	h := newHasher(p)
	return &Store{path: path, now: time.Now, hasher: h, decoy: h.blank(), set: set}, nil
}

// Empty reports whether nobody may log in yet.
func (s *Store) Empty() bool { return len(s.all()) == 0 }

// List returns the accounts, sorted by name.
func (s *Store) List() []Account {
	set := s.all()
	list := make([]Account, 0, len(set))
	for _, r := range set {
		list = append(list, r.Account)
	}
	slices.SortFunc(list, func(a, b Account) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Has reports whether a name is that of an account, or could be mixed up with one.
func (s *Store) Has(name string) bool {
	for known := range s.all() {
		if strings.EqualFold(known, name) {
			return true
		}
	}
	return false
}

func (s *Store) all() map[string]record {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.set
}

// Set makes an account or changes one. An empty password keeps the old one, so a new
// account needs one. It fails with a [*PolicyError], with [ErrLastAdmin] if the only
// admin would become something less or the first account is none, with [ErrBusy], or
// if the file cannot be written; then nothing has changed.
//
// Sessions know nothing of it: see [Sessions.SetRole] and [Sessions.EndUser].
func (s *Store) Set(name string, role Role, password string) error {
	if err := checkName(name); err != nil {
		return err
	}
	if _, err := ParseRole(role.String()); err != nil {
		return err
	}
	var fresh *phc
	if password != "" {
		h, err := s.fresh(context.Background(), name, password)
		if err != nil {
			return err
		}
		fresh = &h
	}
	return s.change(func(set map[string]record) error {
		r, known := set[name]
		if !known && fresh == nil {
			return &PolicyError{Field: "password", Reason: "a new account needs a password"}
		}
		if !known {
			if err := checkRoom(set, name); err != nil {
				return err
			}
		}
		r.Name, r.Role = name, role
		if fresh != nil {
			r.hash, r.Changed = *fresh, s.now().UTC()
		}
		set[name] = r
		return nil
	})
}

// checkRoom refuses one account too many, and a name that people would mix up with
// another: the trail names who did it.
func checkRoom(set map[string]record, name string) error {
	for other := range set {
		if strings.EqualFold(other, name) {
			return &PolicyError{Field: "name", Reason: fmt.Sprintf("there is an account %s already: choose a name that differs in more than capitals", other)}
		}
	}
	if len(set) >= mostAccounts {
		return &PolicyError{Field: "name", Reason: fmt.Sprintf("there are %d accounts, which is the most: remove one first", mostAccounts)}
	}
	return nil
}

// Remove removes an account. It fails with [ErrNotFound], with [ErrLastAdmin], or if
// the file cannot be written. End the person's sessions then (ASVS 7.4.2).
func (s *Store) Remove(name string) error {
	return s.change(func(set map[string]record) error {
		if _, known := set[name]; !known {
			return ErrNotFound
		}
		delete(set, name)
		return nil
	})
}

// Check returns the account if the password is its own, taken exactly as it was typed
// (ASVS 6.2.8), and [ErrWrong] otherwise, after the same time whether there is such an
// account or not (ASVS 6.3.8). It waits for its turn and fails with [ErrBusy], or as
// ctx does.
func (s *Store) Check(ctx context.Context, name, password string) (Account, error) {
	r, err := s.check(ctx, name, password)
	return r.Account, err
}

func (s *Store) check(ctx context.Context, name, password string) (record, error) {
	if utf8.RuneCountInString(password) > longestPassword {
		return record{}, ErrWrong // nobody has it
	}
	r, known := s.all()[name]
	if !known {
		r.hash = s.decoy
	}
	ok, err := s.hasher.matches(ctx, password, r.hash)
	if err != nil {
		return record{}, err
	}
	latest, still := s.all()[name]
	if !ok || !known || !still || latest.hash != r.hash { // it may have changed meanwhile
		return record{}, ErrWrong
	}
	return latest, nil
}

// Change replaces an account's password for someone who knows the old one (ASVS
// 6.2.3). It fails like Check, and with a [*PolicyError] for the new one.
func (s *Store) Change(ctx context.Context, name, old, password string) error {
	known, err := s.check(ctx, name, old)
	if err != nil {
		return err
	}
	if old == password {
		return &PolicyError{Field: "password", Reason: "this is the password you have: choose another"}
	}
	fresh, err := s.fresh(ctx, name, password)
	if err != nil {
		return err
	}
	return s.change(func(set map[string]record) error {
		r, still := set[name]
		if !still || r.hash != known.hash {
			return ErrWrong
		}
		r.hash, r.Changed = fresh, s.now().UTC()
		set[name] = r
		return nil
	})
}

func (s *Store) fresh(ctx context.Context, name, password string) (phc, error) {
	if err := checkPassword(name, password); err != nil {
		return phc{}, err
	}
	return s.hasher.hash(ctx, password)
}

// change edits a copy of the accounts, and keeps it once it is in the file.
func (s *Store) change(edit func(set map[string]record) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := maps.Clone(s.set)
	if err := edit(next); err != nil {
		return err
	}
	if !hasAdmin(next) {
		return ErrLastAdmin
	}
	if err := writeFile(s.path, next); err != nil {
		return fmt.Errorf("keep the accounts in %s: %w", s.path, err)
	}
	s.set = next
	return nil
}

func hasAdmin(set map[string]record) bool {
	for _, r := range set {
		if r.Role == Admin {
			return true
		}
	}
	return false
}
