package backup

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func sample() Backup {
	return Backup{Head{"v1", "lb1", "r7"}, []File{{"configuration.yaml", []byte("node: {name: lb1}\n")}, {"sealed.age", []byte("secret")}}}
}

func encoded(tb testing.TB, b Backup) []byte {
	tb.Helper()
	data, err := Encode(b)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// TestRoundTrip: whatever is packed comes back, and packs to the same bytes.
func TestRoundTrip(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[a-z][a-z0-9._-]{0,20}`).Filter(func(s string) bool { return s != manifestName })
	rapid.Check(t, func(t *rapid.T) {
		want := Backup{Head: Head{rapid.String().Draw(t, "version"), rapid.String().Draw(t, "node"), rapid.String().Draw(t, "revision")}}
		for _, n := range rapid.SliceOfNDistinct(name, 0, 5, rapid.ID).Draw(t, "names") {
			want.Files = append(want.Files, File{n, rapid.SliceOf(rapid.Byte()).Draw(t, n)})
		}
		first, err := Encode(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(first)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Encode(got)
		if err != nil || !bytes.Equal(first, again) {
			t.Fatalf("it packs to other bytes the second time: %v", err)
		}
		for _, f := range want.Files {
			if data, ok := got.Get(f.Name); !ok || !bytes.Equal(data, f.Data) {
				t.Fatalf("%s came back as %q", f.Name, data)
			}
		}
	})
}

// TestNothingOfNow: the order of the files, the time and the place make no difference.
func TestNothingOfNow(t *testing.T) {
	t.Parallel()
	a, b := sample(), sample()
	b.Files[0], b.Files[1] = b.Files[1], b.Files[0]
	if !bytes.Equal(encoded(t, a), encoded(t, b)) {
		t.Error("the order of the files changes the backup")
	}
	zip, err := gzip.NewReader(bytes.NewReader(encoded(t, a)))
	if err != nil || !zip.ModTime.IsZero() || zip.Name != "" {
		t.Errorf("the header of the archive tells %v %q, %v", zip.ModTime, zip.Name, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	t.Parallel()
	many := make([]File, mostFiles+1)
	for i := range many {
		many[i].Name = fmt.Sprintf("a%d", i)
	}
	for name, files := range map[string][]File{
		"path": {{Name: "a/b"}}, "empty name": {{}}, "twice": {{Name: "a"}, {Name: "a"}}, "manifest": {{Name: manifestName}},
		"many": many, "large": {{"a", make([]byte, unpacked+1)}},
	} {
		if _, err := Encode(Backup{Files: files}); err == nil {
			t.Errorf("%s: it was packed", name)
		}
	}
}

// evil is a tar entry as no backup has it.
type evil struct {
	header tar.Header
	data   string
}

// craft packs entries without asking whether they make sense.
func craft(tb testing.TB, entries ...evil) []byte {
	tb.Helper()
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	for _, e := range entries {
		e.header.Size = int64(len(e.data))
		if e.header.Mode == 0 {
			e.header.Mode = 0o600
		}
		if err := w.WriteHeader(&e.header); err != nil {
			tb.Fatal(err)
		}
		if _, err := w.Write([]byte(e.data)); err != nil && e.data != "" {
			tb.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), zip.Close()); err != nil {
		tb.Fatal(err)
	}
	return b.Bytes()
}

func file(name, data string) evil { return evil{tar.Header{Typeflag: tar.TypeReg, Name: name}, data} }

// manifestFor is a manifest that tells the truth about files, but for what edit changes.
func manifestFor(edit func(*manifest), files ...File) evil {
	m := manifest{Format: format, Schema: schema, Head: Head{"v1", "lb1", "r7"}, Files: []entry{}}
	for _, f := range files {
		m.Files = append(m.Files, entryOf(f))
	}
	if edit != nil {
		edit(&m)
	}
	data, _ := json.Marshal(m)
	return file(manifestName, string(data))
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	conf := File{"configuration.yaml", []byte("x")}
	inside := file(conf.Name, "x")
	bomb := func() []byte {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		for range 40 {
			_, _ = zip.Write(make([]byte, 1<<20))
		}
		_ = zip.Close()
		return b.Bytes()
	}
	entry := func(h tar.Header) []byte { return craft(t, manifestFor(nil, conf), inside, evil{h, ""}) }
	good := encoded(t, sample())
	many := []evil{manifestFor(nil)}
	for i := range mostFiles + 1 {
		many = append(many, file(fmt.Sprintf("a%d", i), ""))
	}
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"nothing":           {nil, "no .tar.gz"},
		"text":              {[]byte("node: {name: lb1}"), "no .tar.gz"},
		"cut short":         {good[:len(good)-9], "damaged or incomplete"},
		"one bit":           {flip(good, len(good)/2), "damaged"},
		"more after it":     {append(bytes.Clone(good), "more"...), "4 bytes after its end"},
		"two archives":      {append(bytes.Clone(good), good...), "after its end"},
		"bomb":              {bomb(), "unpacks to more than"},
		"too large":         {make([]byte, Largest+1), "the limit is"},
		"climbs":            {entry(tar.Header{Typeflag: tar.TypeReg, Name: "../../etc/passwd"}), `"../../etc/passwd" is no name`},
		"absolute":          {entry(tar.Header{Typeflag: tar.TypeReg, Name: "/etc/passwd"}), "is no name"},
		"folder in it":      {entry(tar.Header{Typeflag: tar.TypeReg, Name: "a/../../b"}), "is no name"},
		"backslash":         {entry(tar.Header{Typeflag: tar.TypeReg, Name: `..\a`}), "is no name"},
		"dots":              {entry(tar.Header{Typeflag: tar.TypeReg, Name: ".."}), "is no name"},
		"hidden":            {entry(tar.Header{Typeflag: tar.TypeReg, Name: ".bashrc"}), "is no name"},
		"line end":          {entry(tar.Header{Typeflag: tar.TypeReg, Name: "a\nb"}), "is no name"},
		"long name":         {entry(tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("a", longest+1)}), "is no name"},
		"symbolic link":     {entry(tar.Header{Typeflag: tar.TypeSymlink, Name: "accounts.json", Linkname: "/etc/shadow"}), "accounts.json is no plain file"},
		"hard link":         {entry(tar.Header{Typeflag: tar.TypeLink, Name: "accounts.json", Linkname: "configuration.yaml"}), "is no plain file"},
		"folder":            {entry(tar.Header{Typeflag: tar.TypeDir, Name: "a"}), "is no plain file"},
		"device":            {entry(tar.Header{Typeflag: tar.TypeChar, Name: "a"}), "is no plain file"},
		"pipe":              {entry(tar.Header{Typeflag: tar.TypeFifo, Name: "a"}), "is no plain file"},
		"odd records":       {entry(tar.Header{Typeflag: tar.TypeReg, Name: "a", PAXRecords: map[string]string{"VENDOR.x": "y"}, Format: tar.FormatPAX}), "records"},
		"twice":             {craft(t, manifestFor(nil, conf), inside, inside), "configuration.yaml is in it twice"},
		"two manifests":     {craft(t, manifestFor(nil, conf), manifestFor(nil), inside), "manifest.json is in it twice"},
		"many":              {craft(t, many...), "more than 16 files"},
		"no manifest":       {craft(t, inside), "there is no manifest.json"},
		"manifest no JSON":  {craft(t, file(manifestName, "{")), "manifest.json"},
		"unknown field":     {craft(t, file(manifestName, `{"format":"vosbed-backup","schema":1,"run":"rm"}`)), "unknown field"},
		"foreign format":    {craft(t, manifestFor(func(m *manifest) { m.Format = "other" }, conf), inside), `its format is "other"`},
		"newer":             {craft(t, manifestFor(func(m *manifest) { m.Schema, m.Version = 9, "v9" }, conf), inside), `schema 9, made by version "v9": this program reads schema 1 and older: update it first`},
		"newer and unknown": {craft(t, file(manifestName, `{"format":"vosbed-backup","schema":9,"version":"v9","files":[],"new":1}`)), "update it first"},
		"schema 0":          {craft(t, manifestFor(func(m *manifest) { m.Schema = 0 }, conf), inside), "never was"},
		"not in manifest":   {craft(t, manifestFor(nil), inside), "configuration.yaml is not in the manifest"},
		"missing":           {craft(t, manifestFor(nil, conf)), `"configuration.yaml" is missing`},
		"changed":           {craft(t, manifestFor(nil, conf), file(conf.Name, "y")), "is not what was packed"},
		"twice in manifest": {craft(t, manifestFor(nil, conf, conf), inside), "twice in the manifest"},
		"all at once":       {craft(t, manifestFor(nil, conf), file("a", "")), "a is not in the manifest\n\"configuration.yaml\" is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := Decode(tt.data); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func flip(data []byte, at int) []byte {
	data = bytes.Clone(data)
	data[at] ^= 0x10
	return data
}

func TestSeal(t *testing.T) {
	t.Parallel()
	const passphrase = "four unrelated words"
	want := []File{{"accounts.json", []byte("{}")}, {"certificate.pem", []byte("PEM")}}
	sealed, err := Seal(want, passphrase)
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(sealed, []byte("accounts.json")) {
		t.Error("the sealed file tells what is in it")
	}
	got, err := Open(sealed, passphrase)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("got %v, %s", err, diff)
	}
	for _, wrong := range []string{"", "four unrelated word", strings.Repeat("x", 5000)} {
		if _, err := Open(sealed, wrong); !errors.Is(err, ErrPassphrase) {
			t.Errorf("%.20q: %v", wrong, err)
		}
	}
	for name, data := range map[string][]byte{"changed": flip(sealed, len(sealed)-5), "cut": sealed[:len(sealed)-1], "nothing": nil, "text": []byte("x")} {
		if _, err := Open(data, passphrase); err == nil || errors.Is(err, ErrPassphrase) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Seal(want, "short"); err == nil || !strings.Contains(err.Error(), "at least 12") {
		t.Errorf("a short passphrase: %v", err)
	}
}

// TestCostlySeal: a file cannot make the node spend more memory than its own would.
func TestCostlySeal(t *testing.T) {
	t.Parallel()
	to, err := age.NewScryptRecipient("four unrelated words")
	if err != nil {
		t.Fatal(err)
	}
	to.SetWorkFactor(workFactor + 1)
	var b bytes.Buffer
	w, err := age.Encrypt(&b, to)
	if err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	began := time.Now()
	if _, err := Open(b.Bytes(), "four unrelated words"); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("got %v", err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
}

// FuzzDecode: nothing that is read makes it panic or take much, and what is accepted
// packs and unpacks to the same.
func FuzzDecode(f *testing.F) {
	f.Add(encoded(f, sample()))
	f.Add(encoded(f, Backup{}))
	f.Add(craft(f, manifestFor(nil), file("../x", "y")))
	f.Add(craft(f, evil{tar.Header{Typeflag: tar.TypeSymlink, Name: "a", Linkname: "/etc"}, ""}))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Decode(data)
		if err != nil {
			return
		}
		again, err := Encode(got)
		if err != nil {
			t.Fatalf("what was accepted does not pack: %v", err)
		}
		twin, err := Decode(again)
		if diff := cmp.Diff(got, twin); err != nil || diff != "" {
			t.Fatalf("%v %s", err, diff)
		}
	})
}

// FuzzFiles fuzzes what is inside: few inputs of the other one have a right checksum.
func FuzzFiles(f *testing.F) {
	f.Add("../a", "x", byte(tar.TypeReg), `{"format":"vosbed-backup","schema":1,"files":[]}`)
	f.Add("configuration.yaml", "x", byte(tar.TypeSymlink), `{"format":"vosbed-backup","schema":2}`)
	f.Fuzz(func(t *testing.T, name, data string, kind byte, head string) {
		var b bytes.Buffer
		zip := gzip.NewWriter(&b)
		w := tar.NewWriter(zip)
		for _, e := range []evil{file(manifestName, head), {tar.Header{Typeflag: kind, Name: name}, data}} {
			e.header.Size = int64(len(e.data))
			if w.WriteHeader(&e.header) != nil {
				return
			}
			_, _ = w.Write([]byte(e.data))
		}
		_, _ = w.Close(), zip.Close()
		got, err := Decode(b.Bytes())
		if err == nil && len(got.Files) > 0 && (strings.ContainsAny(got.Files[0].Name, "/\\") || kind != tar.TypeReg && kind != 0) {
			t.Fatalf("%q of kind %q was accepted", got.Files[0].Name, kind)
		}
	})
}
