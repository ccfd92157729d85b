package guest

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/images/console"
)

// terminal is a terminal and the side of the person who sits at it.
func terminal(t *testing.T) (s *screen, person *os.File) {
	t.Helper()
	person, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := person.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	number := 0
	err = errors.Join(raw.Control(func(fd uintptr) {
		if err = unix.IoctlSetPointerInt(int(fd), unix.TIOCSPTLCK, 0); err == nil {
			number, err = unix.IoctlGetInt(int(fd), unix.TIOCGPTN)
		}
	}), err)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s = &screen{File: f, in: bufio.NewReader(f)}
	t.Cleanup(func() { _, _ = s.Close(), person.Close() })
	return s, person
}

// TestTheConsoleOutlivesTheCommandLine leaves the command line, which ends the session that
// the terminal belonged to: the console goes on, and does not wait for ever.
func TestTheConsoleOutlivesTheCommandLine(t *testing.T) {
	s, person := terminal(t)
	m := &machine{children: &children{pids: map[int]bool{}}}
	for range 2 {
		if _, err := person.WriteString("exit 3\n"); err != nil {
			t.Fatal(err)
		}
		if err := m.shell(s); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Ask("again: ", 10*time.Millisecond); !errors.Is(err, console.ErrSilence) {
			t.Fatalf("nobody answers: %v", err)
		}
		if _, err := person.WriteString("here\n"); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Ask("and again: ", time.Minute); err != nil || got != "here" {
			t.Fatalf("%q, %v", got, err)
		}
	}
}
