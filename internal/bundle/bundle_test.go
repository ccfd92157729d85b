package bundle

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/vosbed/vosbed/internal/minisign"
)

func newKey(tb testing.TB) minisign.SecretKey {
	tb.Helper()
	key, err := minisign.Generate()
	if err != nil {
		tb.Fatal(err)
	}
	return key
}

func write(tb testing.TB, system []byte, key minisign.SecretKey) []byte {
	tb.Helper()
	var b bytes.Buffer
	if err := Write(&b, "1.2.0", system, key); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func TestRoundTrip(t *testing.T) {
	key, system := newKey(t), bytes.Repeat([]byte("system"), 5000)
	data := write(t, system, key)
	if again := write(t, system, key); !bytes.Equal(data, again) {
		t.Error("the same system gives other bytes")
	}
	a, err := Open(iotest.OneByteReader(bytes.NewReader(data)), key.Public())
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(a)
	if err != nil || !bytes.Equal(got, system) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	sum := sha256.Sum256(system)
	want := Manifest{"vosbed", "1.2.0", "amd64", int64(len(system)), hex.EncodeToString(sum[:])}
	if a.Manifest != want {
		t.Errorf("manifest %+v, want %+v", a.Manifest, want)
	}
	if n, err := a.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end: %d, %v", n, err)
	}
}

// whole is what a reader of an archive sees in the end.
func whole(data []byte, key minisign.PublicKey) error {
	a, err := Open(bytes.NewReader(data), key)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, a)
	return err
}

func TestTruncated(t *testing.T) {
	key := newKey(t)
	data := write(t, []byte(strings.Repeat("x", 3000)), key)
	// The last kilobyte is the end mark, which tar lets be missing.
	for n := 0; n < len(data)-1024-512; n += 100 {
		if err := whole(data[:n], key.Public()); err == nil {
			t.Errorf("%d of %d bytes pass for whole", n, len(data))
		}
	}
	if err := whole(data[:len(data)-2500], key.Public()); !errors.Is(err, ErrTruncated) {
		t.Errorf("%v, want %v", err, ErrTruncated)
	}
}

// TestTampered flips each byte that is read: what comes out is an error or the system.
func TestTampered(t *testing.T) {
	key := newKey(t)
	system := []byte(strings.Repeat("s", 1000))
	data := write(t, system, key)
	for i := range data {
		bad := slices.Clone(data)
		bad[i] ^= 1
		a, err := Open(bytes.NewReader(bad), key.Public())
		if err != nil {
			continue
		}
		got, err := io.ReadAll(a)
		if err == nil && (!bytes.Equal(got, system) || a.Manifest.Version != "1.2.0") {
			t.Fatalf("byte %d: another system is believed", i)
		}
	}
	bad := slices.Clone(data)
	at := bytes.LastIndex(bad, []byte("sss"))
	bad[at] ^= 1
	if err := whole(bad, key.Public()); !errors.Is(err, ErrChanged) {
		t.Errorf("%v, want %v", err, ErrChanged)
	}
	bad = bytes.Replace(data, []byte(`"version": "1.2.0"`), []byte(`"version": "9.2.0"`), 1)
	if err := whole(bad, key.Public()); !errors.Is(err, minisign.ErrChanged) {
		t.Errorf("%v, want %v", err, minisign.ErrChanged)
	}
	if err := whole(data, newKey(t).Public()); !errors.Is(err, minisign.ErrOtherKey) {
		t.Errorf("%v, want %v", err, minisign.ErrOtherKey)
	}
}

// pack makes an archive of files as somebody else might.
func pack(t *testing.T, files ...tar.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range files {
		data := []byte(h.Linkname)
		if h.Typeflag == 0 {
			h.Typeflag, h.Linkname, h.Size = tar.TypeReg, "", int64(len(data))
		}
		h.ModTime = time.Unix(0, 0)
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Typeflag == tar.TypeReg {
			if _, err := w.Write(data); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestStrangeArchives(t *testing.T) {
	key := newKey(t)
	signed := func(manifest string) string {
		s, err := key.Sign(strings.NewReader(manifest), "")
		if err != nil {
			t.Fatal(err)
		}
		return string(s)
	}
	sum := sha256.Sum256([]byte("x"))
	good := fmt.Sprintf(`{"product":"vosbed","version":"1.0.0","arch":"amd64","size":1,"sha256":"%x"}`, sum)
	with := func(old, other string) []byte {
		m := strings.Replace(good, old, other, 1)
		return pack(t, tar.Header{Name: manifestName, Linkname: m}, tar.Header{Name: signatureName, Linkname: signed(m)}, tar.Header{Name: systemName, Linkname: "x"})
	}
	if err := whole(with("", ""), key.Public()); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		data []byte
		want string
	}{
		"nothing":        {nil, "holds no manifest.json"},
		"no tar":         {bytes.Repeat([]byte("gzip"), 1000), "no tar archive"},
		"other order":    {pack(t, tar.Header{Name: systemName, Linkname: "x"}), "where manifest.json is expected"},
		"a link":         {pack(t, tar.Header{Name: manifestName, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}), "where manifest.json is expected"},
		"a long text":    {pack(t, tar.Header{Name: manifestName, Linkname: strings.Repeat("x", maxText+1)}), "bytes"},
		"no signature":   {pack(t, tar.Header{Name: manifestName, Linkname: good}), "holds no manifest.json.minisig"},
		"bad signature":  {pack(t, tar.Header{Name: manifestName, Linkname: good}, tar.Header{Name: signatureName, Linkname: "x"}), minisign.ErrSignature.Error()},
		"no system":      {pack(t, tar.Header{Name: manifestName, Linkname: good}, tar.Header{Name: signatureName, Linkname: signed(good)}), "holds no system.efi"},
		"other product":  {with("vosbed", "hosted"), `it is for "hosted"`},
		"other arch":     {with("amd64", "arm64"), `processor "arm64"`},
		"no version":     {with("1.0.0", "newest"), "no version"},
		"too large":      {with(`"size":1`, `"size":1000000000`), "bytes, possible are"},
		"other size":     {with(`"size":1`, `"size":2`), ErrChanged.Error()},
		"no sum":         {with(hex.EncodeToString(sum[:]), "00"), "no SHA-256"},
		"unknown key":    {with(`"size"`, `"extra":1,"size"`), "unknown field"},
		"two manifests":  {with("}", "}{}"), "after its end"},
		"more than that": {pack(t, tar.Header{Name: manifestName, Linkname: good}, tar.Header{Name: signatureName, Linkname: signed(good)}, tar.Header{Name: systemName, Linkname: "x"}, tar.Header{Name: "more", Linkname: "x"}), "more than an update"},
		"extended": {
			pack(t, tar.Header{Name: manifestName, Linkname: good, Format: tar.FormatPAX, PAXRecords: map[string]string{"VOSBED.x": "y"}}),
			"where manifest.json is expected",
		},
	}
	for name, tt := range tests {
		if err := whole(tt.data, key.Public()); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

func TestWriteRefuses(t *testing.T) {
	if err := Write(io.Discard, "newest", []byte("x"), newKey(t)); err == nil {
		t.Error("a version that cannot be compared is written")
	}
	if err := Write(io.Discard, "1.0.0", nil, newKey(t)); err == nil {
		t.Error("an update without a system is written")
	}
}

// TestPeek: what an archive says can be read without a key, whoever signed it.
func TestPeek(t *testing.T) {
	t.Parallel()
	data := write(t, []byte("the system"), newKey(t))
	m, err := Peek(bytes.NewReader(data))
	if err != nil || m.Product != Product || m.Size != 10 {
		t.Errorf("%+v, %v", m, err)
	}
	for _, bad := range [][]byte{nil, data[:100], []byte(strings.Repeat("x", 2048))} {
		if m, err := Peek(bytes.NewReader(bad)); err == nil {
			t.Errorf("%.20q says %+v", bad, m)
		}
	}
}

func TestVersions(t *testing.T) {
	// Each is older than the next.
	order := []string{"0.1", "0.1.1", "0.9.0", "0.10.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-alpha.x", "1.0.0-rc.1", "1.0.0", "1.0.0.1", "1.0.1", "2"}
	for i, a := range order {
		for j, b := range order {
			x, errA := ParseVersion(a)
			y, errB := ParseVersion(b)
			if err := errors.Join(errA, errB); err != nil {
				t.Fatal(err)
			}
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := x.Compare(y); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
	for _, bad := range []string{"", "v1", "1..2", "1.2.3.4.5", "01.2", "1.2-", "1.2-a..b", "1.2+x", "-1", "1.99999999999", "1.2-ä", strings.Repeat("1", 65)} {
		if _, err := ParseVersion(bad); err == nil {
			t.Errorf("%q passes for a version", bad)
		}
	}
}

func TestChecksum(t *testing.T) {
	sum := sha256.Sum256([]byte("x"))
	text := hex.EncodeToString(sum[:])
	other := strings.Repeat("0", 64)
	for _, good := range []string{text, text + "\n", strings.ToUpper(text) + "  vosbed-1.2.0.update\r\n", other + "  a\n" + text + " *b\n", "# sums\n\n" + text} {
		if err := CheckSum([]byte(good), sum); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	if err := CheckSum([]byte(other+"  a\n"), sum); !errors.Is(err, ErrChecksum) {
		t.Errorf("%v, want %v", err, ErrChecksum)
	}
	for _, bad := range []string{"", "hello", text[:63], "x " + text, strings.Repeat(" ", MaxChecksum+1)} {
		if err := CheckSum([]byte(bad), sum); err == nil || errors.Is(err, ErrChecksum) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

// FuzzOpen feeds anything: what is believed is exactly what was signed.
func FuzzOpen(f *testing.F) {
	key := newKey(f)
	system := []byte("the system")
	f.Add(write(f, system, key))
	f.Add([]byte("manifest.json"))
	f.Fuzz(func(t *testing.T, data []byte) {
		said, unread := Peek(bytes.NewReader(data))
		a, err := Open(bytes.NewReader(data), key.Public())
		if err != nil {
			return
		}
		if unread != nil || said != a.Manifest {
			t.Errorf("it says %+v, %v and holds %+v", said, unread, a.Manifest)
		}
		if got, err := io.ReadAll(a); err == nil && !bytes.Equal(got, system) {
			t.Errorf("believed: %q", got)
		}
	})
}

func FuzzVersion(f *testing.F) {
	for _, s := range []string{"1.2.0", "1.2.0-rc.1", "1..2"} {
		f.Add(s, "1.0")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		x, errA := ParseVersion(a)
		y, errB := ParseVersion(b)
		if errA != nil || errB != nil {
			return
		}
		if x.String() != a || x.Compare(y) != -y.Compare(x) || x.Compare(x) != 0 {
			t.Errorf("%q against %q: %d and %d", a, b, x.Compare(y), y.Compare(x))
		}
	})
}
