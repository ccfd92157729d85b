package appliance

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestFormerSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pair.former")
	log := slog.New(slog.DiscardHandler)
	secret := func(c byte) []byte { return bytes.Repeat([]byte{c}, leastSecret) }
	now := time.Now()
	f := openFormer(path, log)
	for _, step := range []struct {
		name      string
		old, next []byte
		want      []byte
	}{
		{"start", nil, secret(1), nil},
		{"the same", secret(1), secret(1), nil},
		{"a new one", secret(1), secret(2), secret(1)},
		{"another before the peer has followed", secret(2), secret(3), secret(1)},
		{"back", secret(3), secret(1), nil},
		{"a new one again", secret(1), secret(4), secret(1)},
		{"a restart", nil, secret(4), secret(1)},
		{"the end of the pair", secret(4), nil, nil},
	} {
		f.replaced(step.old, step.next, now)
		if got := f.secret(); !bytes.Equal(got, step.want) {
			t.Errorf("%s: the former secret is %v, want %v", step.name, got, step.want)
		}
		f = openFormer(path, log) // it survives whatever happens
		if got := f.secret(); !bytes.Equal(got, step.want) {
			t.Errorf("%s: after a restart the former secret is %v, want %v", step.name, got, step.want)
		}
		info, err := os.Stat(path)
		if (err == nil) != (step.want != nil) || err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("%s: the file is %v, %v", step.name, info, err)
		}
	}
	f.replaced(secret(1), secret(2), now)
	f.expire(now.Add(formerKept - time.Minute))
	if f.secret() == nil {
		t.Error("it is forgotten too early")
	}
	f.expire(now.Add(formerKept))
	if _, err := os.Stat(path); err == nil || f.secret() != nil {
		t.Error("it is kept for ever")
	}
	for _, text := range []string{"{", `{"secret":"AA=="}`, "null"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if f := openFormer(path, log); f.secret() != nil {
			t.Errorf("%s is a secret", text)
		}
		if _, err := os.Stat(path); err == nil {
			t.Errorf("%s stays", text)
		}
	}
}
