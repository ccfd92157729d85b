package minisign

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/internal/testenv"
)

const text = "what is signed\n"

func newKey(t *testing.T) SecretKey {
	t.Helper()
	k, err := Generate()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func signed(t *testing.T, k SecretKey, comment string) []byte {
	t.Helper()
	s, err := k.Sign(strings.NewReader(text), comment)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestSignAndVerify(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	s := signed(t, k, "release 1")
	if !bytes.Equal(s, signed(t, k, "release 1")) {
		t.Error("the second signature is another one")
	}
	public, err := ParsePublicKey(k.Public().File())
	if err != nil {
		t.Fatal(err)
	}
	comment, err := public.Verify(strings.NewReader(text), s)
	if err != nil || comment != "release 1" {
		t.Errorf("verified %q, %v", comment, err)
	}
	if oneLine, err := ParsePublicKey([]byte(k.Public().String())); err != nil || oneLine.ID() != public.ID() {
		t.Errorf("key on one line: %v, %v", oneLine, err)
	}
}

func TestVerifyRefuses(t *testing.T) {
	t.Parallel()
	k := newKey(t)
	good := string(signed(t, k, "release 1"))
	lines := strings.Split(good, "\n")
	for name, tt := range map[string]struct {
		key             PublicKey
		text, signature string
		want            error
	}{
		"another file":    {k.Public(), text + " ", good, ErrChanged},
		"another comment": {k.Public(), text, strings.Replace(good, "release 1", "release 2", 1), ErrChanged},
		"another key":     {newKey(t).Public(), text, good, ErrOtherKey},
		"same name":       {PublicKey{k.id, newKey(t).Public().key}, text, good, ErrChanged},
		"no key":          {PublicKey{}, text, good, ErrKey},
		"empty":           {k.Public(), text, "", ErrSignature},
		"a line more":     {k.Public(), text, good + "\n", ErrSignature},
		"no comment":      {k.Public(), text, lines[0] + "\n" + lines[1] + "\n", ErrSignature},
		"legacy":          {k.Public(), text, strings.Replace(good, "\nRU", "\nRW", 1), ErrSignature},
		"too long":        {k.Public(), text, good + strings.Repeat("x", maxSignatureFile), ErrSignature},
	} {
		_, err := tt.key.Verify(strings.NewReader(tt.text), []byte(tt.signature))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: %v, want %v", name, err, tt.want)
		}
	}
	// No single bit of it may change, outside of the comment that nothing vouches for.
	for i := len(lines[0]) + 1; i < len(good); i++ {
		bad := []byte(good)
		bad[i] ^= 1
		if comment, err := k.Public().Verify(strings.NewReader(text), bad); err == nil {
			t.Errorf("byte %d changed: verified, comment %q", i, comment)
		}
	}
}

func TestSignRefusesComments(t *testing.T) {
	t.Parallel()
	for _, comment := range []string{"two\nlines", "nul\x00", strings.Repeat("x", maxComment+1)} {
		if _, err := newKey(t).Sign(strings.NewReader(text), comment); !errors.Is(err, ErrComment) {
			t.Errorf("%.9q: %v", comment, err)
		}
	}
}

func TestLoadOrCreate(t *testing.T) {
	t.Parallel()
	at := filepath.Join(t.TempDir(), "keys", "release.key")
	made, err := LoadOrCreate(at)
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(at)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info, err)
	}
	again, err := LoadOrCreate(at)
	if err != nil || again.id != made.id || !again.key.Equal(made.key) {
		t.Errorf("another key was read than written: %v", err)
	}
	if err = os.Chmod(at, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err = LoadOrCreate(at); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("a key that others may read: %v", err)
	}
	for _, bad := range []string{"", "untrusted comment: x\nAAAA\n", strings.Replace(string(made.file()), "Q", "R", 1)} {
		at := filepath.Join(t.TempDir(), "bad.key")
		if err = os.WriteFile(at, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err = LoadOrCreate(at); !errors.Is(err, ErrSecretKey) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestMinisign has Debian's minisign verify what we sign, sign with our key, and be
// verified by us.
func TestMinisign(t *testing.T) {
	t.Parallel()
	tool := testenv.RequireTool(t, "minisign")
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	k, err := LoadOrCreate(at("our.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"file": []byte(text), "file.minisig": signed(t, k, "a comment"), "our.pub": k.Public().File(),
	} {
		if err = os.WriteFile(at(name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) string {
		t.Helper()
		out, failed := exec.CommandContext(t.Context(), tool, args...).CombinedOutput()
		if failed != nil {
			t.Errorf("minisign %v: %v: %s", args, failed, out)
		}
		return string(out)
	}
	if out := run("-V", "-p", at("our.pub"), "-m", at("file")); !strings.Contains(out, "a comment") {
		t.Errorf("minisign says: %s", out)
	}
	run("-V", "-P", k.Public().String(), "-m", at("file"))
	run("-S", "-W", "-s", at("our.key"), "-t", "theirs", "-x", at("theirs.minisig"), "-m", at("file"))
	theirs, err := os.ReadFile(at("theirs.minisig"))
	if err != nil {
		t.Fatal(err)
	}
	comment, err := k.Public().Verify(strings.NewReader(text), theirs)
	if err != nil || comment != "theirs" {
		t.Errorf("minisign's signature: %q, %v", comment, err)
	}
	run("-G", "-W", "-p", at("their.pub"), "-s", at("their.key"))
	if err = os.Chmod(at("their.key"), 0o600); err != nil {
		t.Fatal(err)
	}
	public, err := ReadPublicKey(at("their.pub"))
	if err != nil {
		t.Fatal(err)
	}
	theirKey, err := LoadOrCreate(at("their.key"))
	if err != nil || theirKey.Public().String() != public.String() {
		t.Errorf("minisign's keys: %v", err)
	}
}

func FuzzVerify(f *testing.F) {
	k, err := Generate()
	if err != nil {
		f.Fatal(err)
	}
	good, err := k.Sign(strings.NewReader(text), "c")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte(text))
	f.Fuzz(func(t *testing.T, signature, file []byte) {
		if _, err := k.Public().Verify(bytes.NewReader(file), signature); err == nil && string(file) != text {
			t.Errorf("%q was verified", file)
		}
	})
}

func FuzzParsePublicKey(f *testing.F) {
	f.Add([]byte("untrusted comment: minisign public key\nRWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParsePublicKey(data)
		if err != nil {
			return
		}
		if again, err := ParsePublicKey(k.File()); err != nil || again.String() != k.String() {
			t.Errorf("%q: %v, %v", data, again, err)
		}
	})
}
