// Package backup is the form of a backup: one .tar.gz that is the same, byte for byte, for
// the same contents.
//
//	manifest.json   format, schema, who made it, and size and SHA-256 of each other file
//	NAME            the other files, sorted
//
// What must not be read by whoever finds the file is sealed with a passphrase (age,
// age-encryption.org/v1, scrypt): see [Seal]. A sealed file is another one each time.
//
// [Decode] and [Open] believe nothing: names are plain, sizes bounded, links, folders and
// odd records refused, and nothing is written anywhere.
package backup

import (
	"archive/tar"
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Bounds of a backup.
const (
	// Largest is the greatest size of the packed file, in bytes.
	Largest = 700 << 10
	// unpacked is that of all files together.
	unpacked  = 8 << 20
	mostFiles = 16
	longest   = 64 // characters of a name
)

// What a manifest says of itself. A program reads its own schema and older ones.
const (
	format       = "vosbed-backup"
	schema       = 1
	manifestName = "manifest.json"
)

// Head says what a backup is of.
type Head struct {
	Version  string `json:"version"`  // of the program that made it
	Node     string `json:"node"`     // whose it is
	Revision string `json:"revision"` // of the configuration
}

// File is one file of a backup.
type File struct {
	Name string // a-z, 0-9, "-", "_" and ".", beginning with a letter
	Data []byte
}

// Backup is what a backup holds.
type Backup struct {
	Head
	Files []File
}

// Get returns a file by its name; ok is false if there is none.
func (b Backup) Get(name string) (data []byte, ok bool) {
	i := slices.IndexFunc(b.Files, func(f File) bool { return f.Name == name })
	if i < 0 {
		return nil, false
	}
	return b.Files[i].Data, true
}

// manifest is manifest.json.
type manifest struct {
	Format string `json:"format"`
	Schema int    `json:"schema"`
	Head
	Files []entry `json:"files"`
}

type entry struct {
	Name   string `json:"name"`
	Bytes  int    `json:"bytes"`
	SHA256 string `json:"sha256"`
}

func entryOf(f File) entry {
	sum := sha256.Sum256(f.Data)
	return entry{f.Name, len(f.Data), hex.EncodeToString(sum[:])}
}

// Encode packs a backup. It fails for what [Decode] would refuse.
func Encode(b Backup) ([]byte, error) {
	files := sorted(b.Files)
	m := manifest{Format: format, Schema: schema, Head: b.Head, Files: []entry{}}
	for _, f := range files {
		m.Files = append(m.Files, entryOf(f))
	}
	head, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("make the backup: %w", err)
	}
	all := append([]File{{manifestName, append(head, '\n')}}, files...)
	out, err := pack(all)
	if err == nil && len(out) > Largest {
		err = fmt.Errorf("it has %d bytes, the limit is %d", len(out), Largest)
	}
	if err != nil {
		return nil, fmt.Errorf("make the backup: %w", err)
	}
	return out, nil
}

func sorted(files []File) []File {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return files
}

// pack writes the files in their order. Nothing in it depends on when, where or by whom.
func pack(files []File) ([]byte, error) {
	var b bytes.Buffer
	zip := gzip.NewWriter(&b)
	w := tar.NewWriter(zip)
	if err := checkNames(files); err != nil {
		return nil, err
	}
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{
			Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Data)), Mode: 0o600, ModTime: time.Unix(0, 0), Format: tar.FormatUSTAR,
		})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write(f.Data); err != nil {
			return nil, err
		}
	}
	err := errors.Join(w.Close(), zip.Close())
	return b.Bytes(), err
}

func checkNames(files []File) error {
	if len(files) > mostFiles {
		return fmt.Errorf("it has %d files, the limit is %d", len(files), mostFiles)
	}
	seen := map[string]bool{}
	total := 0
	for _, f := range files {
		if !plain(f.Name) {
			return fmt.Errorf("%.80q is no name of a file in a backup", f.Name)
		}
		if seen[f.Name] {
			return fmt.Errorf("%s is in it twice", f.Name)
		}
		seen[f.Name] = true
		total += len(f.Data)
	}
	if total > unpacked {
		return fmt.Errorf("its files have %d bytes, the limit is %d", total, unpacked)
	}
	return nil
}

// plain accepts names that are one word: no path, no "..", nothing that a file system or a
// terminal takes for something else.
func plain(name string) bool {
	if name == "" || len(name) > longest || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

// unpack reads what pack wrote, within the bounds.
func unpack(data []byte) ([]File, error) {
	packed := bytes.NewReader(data)
	zip, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("it is no .tar.gz: %w", err)
	}
	zip.Multistream(false)
	text, err := io.ReadAll(io.LimitReader(zip, 2*unpacked+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("it is damaged or incomplete: %w", err)
	case len(text) > 2*unpacked:
		return nil, fmt.Errorf("it unpacks to more than %d bytes", 2*unpacked)
	case packed.Len() > 0:
		return nil, fmt.Errorf("there are %d bytes after its end", packed.Len())
	}
	var files []File
	for r := tar.NewReader(bytes.NewReader(text)); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files, checkNames(files)
		}
		if err != nil {
			return nil, fmt.Errorf("it is damaged: %w", err)
		}
		f, err := next(h, r)
		if err != nil {
			return nil, err
		}
		if files = append(files, f); len(files) > mostFiles {
			return nil, fmt.Errorf("it has more than %d files", mostFiles)
		}
	}
}

// next reads one file. Its name is judged before its text is read.
func next(h *tar.Header, r io.Reader) (File, error) {
	switch {
	case !plain(h.Name):
		return File{}, fmt.Errorf("%.80q is no name of a file in a backup", h.Name)
	case h.Typeflag != tar.TypeReg || h.Linkname != "":
		return File{}, fmt.Errorf("%s is no plain file", h.Name)
	case len(h.PAXRecords) > 0:
		return File{}, fmt.Errorf("%s has records that no backup has", h.Name)
	case h.Size > unpacked:
		return File{}, fmt.Errorf("%s has %d bytes, the limit is %d", h.Name, h.Size, unpacked)
	}
	data, err := io.ReadAll(io.LimitReader(r, unpacked))
	if err != nil {
		return File{}, fmt.Errorf("%s is damaged: %w", h.Name, err)
	}
	return File{h.Name, data}, nil
}

// Is reports whether a file looks like a packed backup, rather than a text.
func Is(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }

// Decode reads a backup. The error says why it is none, or lists all that is not as its
// manifest says.
func Decode(data []byte) (Backup, error) {
	if len(data) > Largest {
		return Backup{}, fmt.Errorf("the backup has %d bytes, the limit is %d", len(data), Largest)
	}
	files, err := unpack(data)
	if err != nil {
		return Backup{}, fmt.Errorf("the file is no backup: %w", err)
	}
	i := slices.IndexFunc(files, func(f File) bool { return f.Name == manifestName })
	if i < 0 {
		return Backup{}, fmt.Errorf("the file is no backup: there is no %s in it", manifestName)
	}
	m, err := readManifest(files[i].Data)
	if err != nil {
		return Backup{}, err
	}
	files = sorted(slices.Delete(files, i, i+1))
	return Backup{m.Head, files}, m.compare(files)
}

func readManifest(data []byte) (manifest, error) {
	var m manifest
	// The schema comes first: a newer one may have fields that are not known here.
	if err := json.Unmarshal(data, &m); err != nil {
		return m, fmt.Errorf("the file is no backup: %s: %w", manifestName, err)
	}
	switch {
	case m.Format != format:
		return m, fmt.Errorf("the file is no backup of this product: its format is %.40q, not %q", m.Format, format)
	case m.Schema > schema:
		return m, fmt.Errorf("the backup has schema %d, made by version %.80q: this program reads schema %d and older: update it first, then restore", m.Schema, m.Version, schema)
	case m.Schema < 1:
		return m, fmt.Errorf("the backup has schema %d, which never was", m.Schema)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	m = manifest{}
	if err := d.Decode(&m); err != nil {
		return m, fmt.Errorf("the file is no backup: %s: %w", manifestName, err)
	}
	return m, nil
}

// compare lists what is not as the manifest says.
func (m manifest) compare(files []File) error {
	var errs []error
	want := map[string]entry{}
	for _, e := range m.Files {
		if _, twice := want[e.Name]; twice {
			errs = append(errs, fmt.Errorf("%.80q is twice in the manifest", e.Name))
		}
		want[e.Name] = e
	}
	for _, f := range files {
		e, known := want[f.Name]
		delete(want, f.Name)
		switch {
		case !known:
			errs = append(errs, fmt.Errorf("%s is not in the manifest", f.Name))
		case e != entryOf(f):
			errs = append(errs, fmt.Errorf("%s is not what was packed: its size or its SHA-256 differs", f.Name))
		}
	}
	for _, e := range m.Files {
		if _, left := want[e.Name]; left {
			errs = append(errs, fmt.Errorf("%.80q is missing", e.Name))
			delete(want, e.Name)
		}
	}
	return errors.Join(errs...)
}
