package accounts

import (
	"errors"
	"path/filepath"
	"testing"
)

const (
	good  = "four unrelated words" // a password
	other = "another fine sentence"
)

// cheap makes hashes that take microseconds.
func cheap() params { return params{memory: 8, time: 1, threads: 1} }

// newStore returns a store with the admin "root" and the operator "anna".
func newStore(t *testing.T) *Store {
	t.Helper()
	s, err := open(filepath.Join(t.TempDir(), "accounts.json"), cheap())
	if err != nil {
		t.Fatal(err)
	}
	must(t, s.Set("root", Admin, good))
	must(t, s.Set("anna", Operator, good))
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func isPolicy(err error, field string) bool {
	p, ok := errors.AsType[*PolicyError](err)
	return ok && p.Field == field
}
