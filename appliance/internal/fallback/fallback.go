// Package fallback keeps the page that clients of a layer-7 virtual service see while none
// of its real servers takes them (guide 9.5: port 9081; Maintenance > Fallback Page). The
// page is the node's own and never copied to the peer (guide 14.1.1).
package fallback

import (
	_ "embed" // the built-in page
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/vosbed/vosbed/internal/atomicfile"
)

// MaxPage bounds a page in bytes.
const MaxPage = 256 << 10

// fileName is that of a page which is not the built-in one.
const fileName = "fallback.html"

//go:embed page.html
var builtIn []byte

// PageError says why something cannot be the page.
type PageError struct{ Text string }

// Error returns the text.
func (e *PageError) Error() string { return e.Text }

// Store keeps the page. Safe for concurrent use.
type Store struct {
	path string

	mu   sync.Mutex
	page []byte // nil = the built-in one
}

// Open reads what is kept in a folder.
func Open(dir string) (*Store, error) {
	s := &Store{path: filepath.Join(dir, fileName)}
	f, err := os.Open(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the fallback page: %w", err)
	}
	defer f.Close()
	page, err := io.ReadAll(io.LimitReader(f, MaxPage+1))
	if err == nil {
		err = Check(page)
	}
	if err != nil {
		return nil, fmt.Errorf("read the fallback page %s (remove it to get the built-in one): %w", s.path, err)
	}
	s.page = page
	return s, nil
}

// Page returns the page, and whether somebody has written it.
func (s *Store) Page() (page []byte, own bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.page == nil {
		return builtIn, false
	}
	return s.page, true
}

// Check says why a text cannot be the page: a [*PageError].
func Check(page []byte) error {
	switch {
	case len(page) > MaxPage:
		return &PageError{fmt.Sprintf("the page has more than %d kB: shorten it", MaxPage>>10)}
	case strings.TrimSpace(string(page)) == "":
		return &PageError{"the page is empty: write one, or reset it to the built-in one"}
	case !utf8.Valid(page):
		return &PageError{"the page is not UTF-8 text: save it in that encoding"}
	}
	return nil
}

// Set keeps another page; the error may be a [*PageError].
func (s *Store) Set(page []byte) error {
	if err := Check(page); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := atomicfile.Write(s.path, page, 0o600); err != nil {
		return fmt.Errorf("keep the fallback page: %w", err)
	}
	s.page = page
	return nil
}

// Reset goes back to the built-in page.
func (s *Store) Reset() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the fallback page: %w", err)
	}
	s.page = nil
	return nil
}
