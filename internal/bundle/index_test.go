package bundle

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/internal/minisign"
)

// index is one of an archive.
func index() Index {
	return Index{Product: Product, Arch: Arch, Version: "1.2.0", File: "vosbed-1.2.0.update", Size: 1000, SHA256: strings.Repeat("ab", 32), Notes: "Faster.\nSafer."}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	file, signature, err := index().Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := OpenIndex(file, signature, key.Public()); err != nil || got != index() {
		t.Errorf("%+v, %v", got, err)
	}
	if again, _, err := index().Encode(key); err != nil || string(again) != string(file) {
		t.Errorf("other bytes: %v", err)
	}
	if _, err := OpenIndex(file, signature, newKey(t).Public()); err == nil {
		t.Error("an index of another key is believed")
	}
	if _, err := OpenIndex(append(file, ' '), signature, key.Public()); err == nil {
		t.Error("an index that was changed is believed")
	}
	if _, err := OpenIndex(file, nil, key.Public()); err == nil {
		t.Error("an index without a signature is believed")
	}
}

// TestStrangeIndexes signs what the key's owner did not mean for an index.
func TestStrangeIndexes(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	for name, change := range map[string]func(*Index){
		"product": func(x *Index) { x.Product = "other" }, "arch": func(x *Index) { x.Arch = "arm64" }, "version": func(x *Index) { x.Version = "new" },
		"no file": func(x *Index) { x.File = "" }, "file elsewhere": func(x *Index) { x.File = "../v.update" }, "file": func(x *Index) { x.File = "https://x/v" }, "dots": func(x *Index) { x.File = ".." },
		"size": func(x *Index) { x.Size = 0 }, "too large": func(x *Index) { x.Size = MaxArchive + 1 }, "sum": func(x *Index) { x.SHA256 = "ab" },
		"long notes": func(x *Index) { x.Notes = strings.Repeat("x", maxNotes+1) }, "words to a terminal": func(x *Index) { x.Notes = "\x1b[2J" },
	} {
		x := index()
		change(&x)
		if _, _, err := x.Encode(key); err == nil {
			t.Errorf("%s: it is written", name)
		}
		text, err := json.Marshal(x)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := OpenIndex(text, sign(t, key, text), key.Public()); err == nil {
			t.Errorf("%s: it is read", name)
		}
	}
	for _, text := range []string{"", "{}", "[]", `{"product":"vosbed","version":"1.2.0","arch":"amd64","size":1,"sha256":"` + strings.Repeat("ab", 32) + `"}`, `{"command":"x"}`} {
		if _, err := OpenIndex([]byte(text), sign(t, key, []byte(text)), key.Public()); err == nil {
			t.Errorf("%q is an index", text)
		}
	}
}

func sign(t *testing.T, key minisign.SecretKey, text []byte) []byte {
	t.Helper()
	signature, err := key.Sign(strings.NewReader(string(text)), "x")
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

func FuzzIndex(f *testing.F) {
	key := newKey(f)
	file, _, err := index().Encode(key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, data []byte) {
		signature, err := key.Sign(strings.NewReader(string(data)), "x")
		if err != nil {
			t.Skip()
		}
		x, err := OpenIndex(data, signature, key.Public())
		if err != nil {
			return
		}
		again, sig, err := x.Encode(key)
		if err != nil {
			t.Fatal(err)
		}
		if y, err := OpenIndex(again, sig, key.Public()); err != nil || y != x {
			t.Errorf("%+v becomes %+v, %v", x, y, errors.Unwrap(err))
		}
	})
}
