package support

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// Source is one file of an archive.
type Source struct {
	Name string // below the archive's folder: "status.json"
	// Read returns the text. It should heed ctx; if it does not, it is not waited for.
	Read func(ctx context.Context) ([]byte, error)
}

// Limits bound the making of an archive.
type Limits struct {
	File  int           // bytes of one file; the rest of it is left out
	Total int           // bytes of all files, before they are packed
	Each  time.Duration // for one source
	All   time.Duration // for all of them
}

// DefaultLimits are those of a node.
func DefaultLimits() Limits {
	return Limits{File: 8 << 20, Total: 48 << 20, Each: 5 * time.Second, All: 30 * time.Second}
}

// About is the head of the manifest.
type About struct {
	Node    string    `json:"node"`
	Version string    `json:"version"`
	At      time.Time `json:"at"`
}

// Manifest is the last file of an archive: what is in it, and what could not be had.
type Manifest struct {
	About
	Files   []Packed  `json:"files"`
	Missing []Missing `json:"missing"`
}

// Packed is one file of the archive.
type Packed struct {
	Name    string `json:"name"`
	Bytes   int    `json:"bytes"`
	SHA256  string `json:"sha256"`
	Cut     bool   `json:"cut,omitempty"`             // the rest was left out
	Removed int    `json:"secrets_removed,omitempty"` // places where a secret was removed
}

// Missing is what could not be had, and why.
type Missing struct {
	Name string `json:"name"`
	Why  string `json:"why"`
}

// ManifestName is the manifest's, in the archive's folder.
const ManifestName = "manifest.json"

// Archive is what an archive is made of.
type Archive struct {
	About   About
	Limits  Limits
	Clean   *Cleaner
	Sources []Source
}

// Write packs the sources into a .tar.gz, in their order, each as it comes, the manifest
// last. A source that fails or is late is named in the manifest. The error is of w, or of
// ctx.
func (a Archive) Write(ctx context.Context, w io.Writer) error {
	zip := gzip.NewWriter(w)
	p := &packer{Archive: a, tar: tar.NewWriter(zip), left: a.Limits.Total}
	late, cancel := context.WithTimeout(ctx, a.Limits.All)
	defer cancel()
	for _, s := range a.Sources {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.add(late, s); err != nil {
			return fmt.Errorf("write the support archive: %w", err)
		}
	}
	if err := errors.Join(p.finish(), p.tar.Close(), zip.Close()); err != nil {
		return fmt.Errorf("write the support archive: %w", err)
	}
	return nil
}

type packer struct {
	Archive

	tar   *tar.Writer
	left  int
	files []Packed
	gone  []Missing
}

func (p *packer) add(ctx context.Context, s Source) error {
	data, why := within(ctx, p.Limits.Each, s.Read)
	most := min(p.Limits.File, p.left)
	if why == nil && most <= 0 {
		why = errFull
	}
	if why != nil {
		text, _ := p.Clean.Clean([]byte(why.Error()))
		p.gone = append(p.gone, Missing{s.Name, string(text)})
		return nil //nolint:nilerr // the manifest tells it
	}
	// Before it is cut: half a secret is one too.
	data, removed := p.Clean.Clean(data)
	cut := len(data) > most
	data = data[:min(len(data), most)]
	p.left -= len(data)
	sum := sha256.Sum256(data)
	p.files = append(p.files, Packed{s.Name, len(data), hex.EncodeToString(sum[:]), cut, removed})
	return p.put(s.Name, data)
}

func (p *packer) put(name string, data []byte) error {
	err := p.tar.WriteHeader(&tar.Header{
		Typeflag: tar.TypeReg, Name: "vosbed-support/" + name, Size: int64(len(data)), Mode: 0o600,
		ModTime: p.About.At.Truncate(time.Second), Format: tar.FormatUSTAR,
	})
	if err != nil {
		return err
	}
	_, err = p.tar.Write(data)
	return err
}

func (p *packer) finish() error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(Manifest{p.About, orEmpty(p.files), orEmpty(p.gone)}); err != nil {
		return err
	}
	return p.put(ManifestName, b.Bytes())
}

func orEmpty[T any](s []T) []T { return append([]T{}, s...) }

// within calls read and waits for it so long. One that goes on is left behind.
func within(ctx context.Context, d time.Duration, read func(context.Context) ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	if ctx.Err() != nil {
		return nil, errLate
	}
	done := make(chan result, 1)
	go func() {
		data, err := read(ctx)
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, errLate
	}
}

// Why a source is not in an archive.
var (
	errLate = errors.New("it took too long")
	errFull = errors.New("the archive is as large as it may be")
)
