package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/images/console"
	"github.com/vosbed/vosbed/internal/testenv"
)

func TestLog(t *testing.T) {
	at := filepath.Join(t.TempDir(), "log")
	l, err := openLog(at)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 1023) + "\n"
	for range 2 * maxLog / len(line) * 3 / 2 {
		if _, err := io.WriteString(l, line); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.WriteString(l, "one\n\ntwo\nthree\nfour\n"); err != nil {
		t.Fatal(err)
	}
	if l.Last() != "two; three; four" {
		t.Errorf("the last lines are %q", l.Last())
	}
	for _, name := range []string{at, at + ".1"} {
		info, err := os.Stat(name)
		if err != nil || info.Size() > maxLog {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
}

func newChildren() *children { return &children{pids: map[int]bool{}} }

func TestAServiceIsStartedAgain(t *testing.T) {
	program := testenv.RequireTool(t, "false")
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	lives := 0
	newChildren().run(ctx, service{name: "false", argv: []string{program}, log: io.Discard, ended: func(err error) {
		if _, failed := errors.AsType[*exec.ExitError](err); !failed {
			t.Errorf("it ended by %v", err)
		}
		if lives++; lives == 2 {
			cancel()
		}
	}}, slog.New(slog.DiscardHandler))
	if lives != 2 {
		t.Errorf("it lived %d times", lives)
	}
}

func TestAServiceIsAskedToEnd(t *testing.T) {
	program := testenv.RequireTool(t, "sleep")
	ctx, cancel := context.WithCancel(t.Context())
	c, done := newChildren(), make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx, service{name: "sleep", argv: []string{program, "60"}, log: io.Discard, ended: func(error) {}}, slog.New(slog.DiscardHandler))
	}()
	for c.each(0) == 0 {
		select {
		case <-done:
			t.Fatal("it ended by itself")
		case <-time.After(time.Millisecond):
		}
	}
	cancel()
	<-done
	if left := c.each(0); left != 0 {
		t.Errorf("%d are left", left)
	}
}

func TestKeys(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "ssh-ed25519 AAAA me@here": true, "ecdsa-sha2-nistp256 AAAA": true,
		"hello": false, "ssh-ed25519": false, "ssh-rsa AAAA x\nssh-rsa BBBB": false, "command=\"x\" ssh-rsa AAAA": false,
	} {
		if err := checkKey(text); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestScreen answers over a pseudo terminal.
func TestScreen(t *testing.T) {
	person, device := pty(t)
	s := &screen{File: device, in: bufio.NewReader(device)}
	if err := s.echo(true); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ask("Name: ", time.Millisecond); !errors.Is(err, console.ErrSilence) {
		t.Errorf("nobody answered, and it is %v", err)
	}
	for _, answer := range []string{"lb1", ""} {
		if _, err := fmt.Fprintf(person, "%s\r", answer); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Ask("Name: ", 5*time.Second); err != nil || got != answer {
			t.Errorf("%q, %v", got, err)
		}
	}
	if _, err := io.WriteString(person, "hidden\r"); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Secret("Password: "); err != nil || got != "hidden" {
		t.Errorf("%q, %v", got, err)
	}
}

// pty opens a pseudo terminal (pts(4)).
func pty(t *testing.T) (person, device *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		testenv.Missing(t, "ptmx", "this machine has no pseudo terminals")
	}
	n, err := unix.IoctlGetInt(int(person.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err = unix.IoctlSetPointerInt(int(person.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	device, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = person.Close(), device.Close() })
	return person, device
}

func TestLabels(t *testing.T) {
	dir := t.TempDir()
	write := func(name, label string, at int) string {
		data := make([]byte, 0x9000)
		copy(data[at:], label)
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, tt := range []struct{ file, want string }{
		{write("iso", "cidata"+strings.Repeat(" ", 26), 0x8028), "iso9660"},
		{write("fat32", "CIDATA     ", 0x47), "vfat"},
		{write("fat12", "CIDATA     ", 0x2b), "vfat"},
		{write("other", "DATA", 0x2b), ""},
		{filepath.Join(dir, "none"), ""},
	} {
		if got := labelled(tt.file, seedLabel); got != tt.want {
			t.Errorf("%s is %q, not %q", tt.file, got, tt.want)
		}
	}
}
