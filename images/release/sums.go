package release

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxSums bounds the list of checksums in bytes.
const maxSums = 1 << 20

// sums are the SHA-256 of files by their names.
type sums map[string]string

// sumsOf are those of every file in a folder but the list itself and its signature.
func sumsOf(dir string) (sums, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the release: %w", err)
	}
	out := sums{}
	for _, e := range entries {
		if e.Name() == Sums || e.Name() == Signature {
			continue
		}
		if out[e.Name()], err = sumOf(filepath.Join(dir, e.Name())); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// encode writes them as sha256sum does.
func (s sums) encode() []byte {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(s)) {
		fmt.Fprintf(&out, "%s  %s\n", s[name], name)
	}
	return out.Bytes()
}

// parseSums reads what encode wrote. Every line that is wrong is named.
func parseSums(text []byte) (sums, error) {
	out := sums{}
	var errs []error
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		sum, name, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "  ")
		raw, err := hex.DecodeString(sum)
		_, twice := out[name]
		if !ok || err != nil || len(raw) != sha256.Size || !plain(name) || twice {
			errs = append(errs, fmt.Errorf("%s:%d: %.80q is no checksum of a file that is named once", Sums, number, line))
			continue
		}
		out[name] = strings.ToLower(sum)
	}
	if len(out) == 0 {
		errs = append(errs, fmt.Errorf("%s names no file", Sums))
	}
	return out, errors.Join(errs...)
}

// plain tells a name that cannot lead out of the folder, nor draw on a terminal.
func plain(name string) bool {
	return filepath.IsLocal(name) && name != "." && !strings.ContainsFunc(name, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '/' || r == '\\' || r == utf8.RuneError
	})
}

// readSmall reads a small file.
func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the release: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxSums+1))
	if err != nil {
		return nil, fmt.Errorf("read the release: %w", err)
	}
	if len(text) > maxSums {
		return nil, fmt.Errorf("read the release: %s is longer than %d bytes", path, maxSums)
	}
	return text, nil
}
