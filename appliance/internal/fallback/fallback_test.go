package fallback

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if page, own := s.Page(); own || !strings.Contains(string(page), "<h1>") {
		t.Errorf("the built-in page: %q, %v", page, own)
	}
	for name, page := range map[string]string{"empty": " \n", "no text": "\xff", "long": strings.Repeat("x", MaxPage+1)} {
		if _, told := errors.AsType[*PageError](s.Set([]byte(page))); !told {
			t.Errorf("%s: was accepted", name)
		}
	}
	if err = s.Set([]byte("<p>back at noon")); err != nil {
		t.Fatal(err)
	}
	if s, err = Open(dir); err != nil {
		t.Fatal(err)
	}
	if page, own := s.Page(); !own || string(page) != "<p>back at noon" {
		t.Errorf("it did not survive: %q, %v", page, own)
	}
	for range 2 {
		if err = s.Reset(); err != nil {
			t.Error(err)
		}
	}
	if _, own := s.Page(); own {
		t.Error("it is still there")
	}
	if err = os.WriteFile(filepath.Join(dir, fileName), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("a damaged file: %v", err)
	}
}

// TestTheBuiltInPage brings everything that it needs.
func TestTheBuiltInPage(t *testing.T) {
	for _, foreign := range []string{"http:", "https:", "//", "<script", "src=", "url("} {
		if strings.Contains(string(builtIn), foreign) {
			t.Errorf("the page has %s", foreign)
		}
	}
}
