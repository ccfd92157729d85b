package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"
)

func noon() time.Time { return time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC) }

func text(s string) func(context.Context) ([]byte, error) {
	return func(context.Context) ([]byte, error) { return []byte(s), nil }
}

// unpack returns the files of an archive in their order, and the manifest.
func unpack(t *testing.T, data []byte) (names []string, files map[string]string, m Manifest) {
	t.Helper()
	zip, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	files = map[string]string{}
	for r := tar.NewReader(zip); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimPrefix(h.Name, "vosbed-support/")
		names, files[name] = append(names, name), string(text)
	}
	if err := json.Unmarshal([]byte(files[ManifestName]), &m); err != nil {
		t.Fatal(err)
	}
	return names, files, m
}

func write(t *testing.T, l Limits, secrets [][]byte, sources ...Source) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := (Archive{About{"lb1", "v1", noon()}, l, NewCleaner(secrets), sources}).Write(t.Context(), &b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestArchive(t *testing.T) {
	t.Parallel()
	sources := []Source{
		{"b.txt", text("second letter")},
		{"a.txt", text("first letter")},
		{"none.txt", func(context.Context) ([]byte, error) { return nil, errors.New("no such thing: hunter2-hunter2") }},
	}
	data := write(t, DefaultLimits(), [][]byte{[]byte("hunter2-hunter2")}, sources...)
	names, files, m := unpack(t, data)
	if got := strings.Join(names, " "); got != "b.txt a.txt manifest.json" {
		t.Errorf("the files are %s", got)
	}
	if files["a.txt"] != "first letter" || m.Node != "lb1" || len(m.Files) != 2 || m.Files[0].Bytes != 13 {
		t.Errorf("files %q, manifest %+v", files, m)
	}
	if len(m.Missing) != 1 || m.Missing[0] != (Missing{"none.txt", "no such thing: [secret removed]"}) {
		t.Errorf("missing: %+v", m.Missing)
	}
	if !bytes.Equal(data, write(t, DefaultLimits(), [][]byte{[]byte("hunter2-hunter2")}, sources...)) {
		t.Error("the same sources make another archive")
	}
}

func TestArchiveIsBounded(t *testing.T) {
	t.Parallel()
	l := Limits{File: 10, Total: 25, Each: time.Second, All: time.Second}
	long := text(strings.Repeat("x", 100))
	_, files, m := unpack(t, write(t, l, nil, Source{"1", long}, Source{"2", long}, Source{"3", long}, Source{"4", long}))
	if len(files["1"]) != 10 || len(files["2"]) != 10 || len(files["3"]) != 5 || !m.Files[2].Cut {
		t.Errorf("files %q", files)
	}
	if len(m.Missing) != 1 || m.Missing[0].Name != "4" || !strings.Contains(m.Missing[0].Why, "as large as it may be") {
		t.Errorf("missing: %+v", m.Missing)
	}
}

// TestLateSources: neither one that waits for ever nor many slow ones hold it up.
func TestLateSources(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		stuck := Source{"stuck", func(context.Context) ([]byte, error) { <-release; return nil, nil }}
		slow := Source{"slow", func(ctx context.Context) ([]byte, error) { <-ctx.Done(); return nil, ctx.Err() }}
		began := time.Now()
		_, _, m := unpack(t, write(t, Limits{File: 100, Total: 100, Each: 2 * time.Second, All: 5 * time.Second}, nil, stuck, slow, slow, slow, slow))
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("it took %v", took)
		}
		if len(m.Missing) != 5 {
			t.Errorf("missing: %+v", m.Missing)
		}
		close(release)
	})
}

func TestWriterThatFails(t *testing.T) {
	t.Parallel()
	r, w := io.Pipe()
	_ = r.Close()
	if err := (Archive{About{}, DefaultLimits(), NewCleaner(nil), []Source{{"a", text("a")}}}).Write(t.Context(), w); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got %v", err)
	}
}

func TestSuspects(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ in, want string }{
		"key":     {"a\n-----BEGIN EC PRIVATE KEY-----\nAAAA\nBBBB\n-----END EC PRIVATE KEY-----\nz", "a\n[secret removed]\nz"},
		"torn":    {"a -----BEGIN PRIVATE KEY-----\nAAAA", "a [secret removed]"},
		"hash":    {`{"hash": "$argon2id$v=19$m=32768,t=3,p=1$c2FsdA$a2V5"}`, `{"hash": "[secret removed]"}`},
		"bearer":  {"Authorization: Bearer abcdefghijklmnopqrstuvwxyz012345", "Authorization: [secret removed]"},
		"cookie":  {"Cookie: __Host-vosbed=abc123; x=1", "Cookie: [secret removed]; x=1"},
		"nothing": {"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nthe bearer of this", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\nthe bearer of this"},
	} {
		if got, _ := NewCleaner(nil).Clean([]byte(tt.in)); string(got) != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

// TestNoFormOfASecretStays: whatever is around it, a secret as it is, in base64 of a longer
// text, or in hexadecimal digits is gone.
func TestNoFormOfASecretStays(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringMatching(`[A-Za-z0-9+/]{16,64}`).Draw(t, "secret")
		before := rapid.StringMatching(`[a-z ]{0,7}`).Draw(t, "before")
		after := rapid.StringMatching(`[a-z ]{0,7}`).Draw(t, "after")
		whole := []byte(before + secret + after)
		clean := NewCleaner([][]byte{[]byte(secret + "\n")})
		for name, written := range map[string]string{
			"as it is": string(whole), "hex": hex.EncodeToString(whole), "HEX": strings.ToUpper(hex.EncodeToString(whole)),
			"base64": base64.StdEncoding.EncodeToString(whole), "base64url": base64.RawURLEncoding.EncodeToString(whole),
		} {
			got, places := clean.Clean([]byte("x=" + written + ";"))
			if places != 1 || len(got) >= len(written) && name != "as it is" {
				t.Fatalf("%s: %d places in %s", name, places, got)
			}
			if core := secret[3 : len(secret)-3]; strings.Contains(string(got), core) {
				t.Fatalf("%s: it is still there: %s", name, got)
			}
		}
	})
}

func TestSecretsIn(t *testing.T) {
	t.Parallel()
	block := func(kind, text string) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: []byte(text)}))
	}
	for name, tt := range map[string]struct{ file, want string }{
		"line":        {"sesame open up\n", "sesame open up|sesame open up"},
		"lines":       {"one\ntwo", "one\ntwo|one|two"},
		"accounts":    {`{"accounts":[{"name":"anna","hash": "$argon2id$x"},{"hash":"$argon2id$y"}]}`, "$argon2id$x|$argon2id$y"},
		"base64":      {`{"secret":"c2VzYW1lIQ==","since":"2026"}`, "c2VzYW1lIQ==|sesame!"},
		"certificate": {block("PRIVATE KEY", "the key") + block("CERTIFICATE", "public"), "the key"},
		"nothing":     {"", "|"},
	} {
		if got := string(bytes.Join(SecretsIn([]byte(tt.file)), []byte("|"))); got != tt.want {
			t.Errorf("%s: %q, want %q", name, got, tt.want)
		}
	}
}

func TestParseMemory(t *testing.T) {
	t.Parallel()
	got := parseMemory("MemTotal:       16 kB\nMemFree: 1 kB\nMemAvailable: 8 kB\nodd\nMemTotal: x kB\n")
	if got != (Space{Free: 8 << 10, Total: 16 << 10}) {
		t.Errorf("got %+v", got)
	}
}

// TestMachine reads this machine.
func TestMachine(t *testing.T) {
	t.Parallel()
	m := Look(t.TempDir())
	if m.Disk.Total == 0 || m.Memory.Total == 0 || m.Files == 0 || m.Sysctls["net.ipv4.ip_local_port_range"] == "" {
		t.Errorf("got %+v", m)
	}
	for _, s := range MachineSources(t.TempDir()) {
		if got, err := s.Read(t.Context()); err != nil || len(got) == 0 && !strings.HasPrefix(s.Name, "network/") {
			t.Errorf("%s: %d bytes, %v", s.Name, len(got), err)
		}
	}
}

// FuzzSecretsIn: whatever a file that holds secrets looks like, what it holds can be kept out
// of another text.
func FuzzSecretsIn(f *testing.F) {
	for _, s := range []string{"sesame, open up\n", `{"secret":"c2VzYW1lLCBvcGVuIHVw"}`, "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "{", "-----BEGIN "} {
		f.Add([]byte(s), "a log of some text")
	}
	f.Fuzz(func(t *testing.T, file []byte, log string) {
		secrets := SecretsIn(file)
		c := NewCleaner(secrets)
		for _, s := range secrets {
			s = bytes.TrimSpace(s)
			clean, _ := c.Clean(slices.Concat([]byte(log), s, []byte(log)))
			if len(s) >= shortest && bytes.Contains(clean, s) && !strings.Contains(removed, string(s)) {
				t.Fatalf("%q is still in %q", s, clean)
			}
		}
	})
}
