package identity

import (
	"bytes"
	"errors"
	"testing"
	"time"
)

// TestExport: what was exported comes back byte for byte; one that time alone has
// overtaken is told apart from one that is no certificate.
func TestExport(t *testing.T) {
	var nobody *authority
	root := nobody.sign(t, "CA root", key(t), nil)
	leaf := root.sign(t, "lb1.example", key(t), nil)
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if text, failed := s.Export(); text != nil || failed != nil {
		t.Errorf("nothing was uploaded: %q, %v", text, failed)
	}
	if err = s.Set(chain(leaf, root), keyText(t, leaf.key), noon); err != nil {
		t.Fatal(err)
	}
	text, err := s.Export()
	if err != nil {
		t.Fatal(err)
	}
	other, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err = other.Import(text, noon); err != nil {
		t.Fatal(err)
	}
	if again, err := other.Export(); err != nil || !bytes.Equal(text, again) {
		t.Errorf("it came back as %s, %v", again, err)
	}
	for name, tt := range map[string]struct {
		text []byte
		at   time.Time
		time bool
	}{
		"expired":   {text, noon.Add(365 * 24 * time.Hour), true},
		"not yet":   {text, noon.Add(-365 * 24 * time.Hour), true},
		"no key":    {chain(leaf), noon, false},
		"nothing":   {nil, noon, false},
		"other key": {append(chain(leaf), keyText(t, root.key)...), noon, false},
	} {
		if err := CheckExport(tt.text, tt.at); err == nil || errors.Is(err, ErrTime) != tt.time {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := CheckExport(text, noon); err != nil {
		t.Error(err)
	}
}

// FuzzCheckExport: what is accepted can be kept, and comes back the same.
func FuzzCheckExport(f *testing.F) {
	var nobody *authority
	root := nobody.sign(f, "CA root", key(f), nil)
	leaf := root.sign(f, "lb1.example", key(f), nil)
	f.Add(append(chain(leaf, root), keyText(f, leaf.key)...))
	f.Add(append(keyText(f, root.key), chain(leaf)...))
	f.Add([]byte("-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if CheckExport(text, noon) != nil {
			return
		}
		s, err := Open(t.TempDir())
		if err == nil {
			err = s.Import(text, noon)
		}
		if err != nil {
			t.Fatalf("it was accepted, and not kept: %v", err)
		}
		kept, err := s.Export()
		if err != nil || CheckExport(kept, noon) != nil {
			t.Fatalf("it came back as %s, %v", kept, err)
		}
	})
}
