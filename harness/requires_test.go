package harness

import (
	"errors"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/harness/lab"
)

func TestMissingProgramsEndTheRunBeforeItBegins(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	err := require([]string{"ffprobe", "ffmpeg"})
	if !errors.Is(err, lab.ErrCannot) {
		t.Fatalf("error %v, want %v", err, lab.ErrCannot)
	}
	if want := "ffmpeg and ffprobe not found: install the Debian package ffmpeg"; !strings.HasSuffix(err.Error(), want) {
		t.Errorf("%q does not say %q", err, want)
	}
	if err := require(nil); err != nil {
		t.Errorf("nothing required: %v", err)
	}
}
