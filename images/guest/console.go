package guest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/images/console"
)

// ttys are where a person may sit: the screen, the serial line, a hypervisor's console.
func ttys() []string { return []string{"/dev/tty1", "/dev/ttyS0", "/dev/hvc0"} }

// consoles serves every console that is there.
func (m *machine) consoles(ctx context.Context) {
	c := &console.Machine{
		Daemon: api.NewUnix(socketPath), Cards: cards, Troubles: m.told, Awaited: m.awaited.Load, Shell: m.shell, Remote: m.remote(),
		End: func(how console.End) {
			m.end <- map[console.End]int{console.PowerOff: powerOff, console.Restart: restart}[how]
		},
	}
	for _, path := range ttys() {
		f, err := os.OpenFile(path, os.O_RDWR|unix.O_NOCTTY, 0)
		if err != nil {
			continue
		}
		t := &screen{File: f, in: bufio.NewReader(f)}
		if t.echo(true) != nil { // a device without a terminal behind it
			_ = f.Close()
			continue
		}
		go m.serve(ctx, c, t)
	}
}

// serve serves a terminal for ever: one that fails is opened again after a moment.
func (m *machine) serve(ctx context.Context, c *console.Machine, t *screen) {
	for ctx.Err() == nil {
		if err := c.Serve(ctx, t); err != nil {
			m.log.WarnContext(ctx, "a console failed", "console", t.Name(), "err", err)
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
		if err := t.reopen(); err != nil {
			m.log.WarnContext(ctx, "a console is not there", "console", t.Name(), "err", err)
		}
	}
}

// told are the troubles for the status screen.
func (m *machine) told() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := append([]string(nil), m.troubles...)
	if m.death != "" {
		out = append(out, m.death)
	}
	return out
}

// screen is a terminal on a device.
type screen struct {
	*os.File

	in *bufio.Reader
}

// reopen takes the place of a terminal that was hung up.
func (s *screen) reopen() error {
	f, err := os.OpenFile(s.Name(), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return fmt.Errorf("open the console again: %w", err)
	}
	_ = s.Close()
	s.File = f
	s.in.Reset(f)
	return s.echo(true)
}

// maxAnswer bounds an answer in bytes: a public key has some hundreds.
const maxAnswer = 4096

// Ask implements console.Terminal.
func (s *screen) Ask(prompt string, within time.Duration) (string, error) {
	s.write(prompt)
	until := time.Time{}
	if within > 0 {
		until = time.Now().Add(within)
	}
	if err := s.SetReadDeadline(until); err != nil {
		return "", err
	}
	var b strings.Builder
	for b.Len() < maxAnswer {
		c, err := s.in.ReadByte()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "", console.ErrSilence
		}
		if err != nil {
			return "", err
		}
		if c == '\n' || c == '\r' {
			break
		}
		b.WriteByte(c)
	}
	return strings.TrimSpace(b.String()), nil
}

// Secret implements console.Terminal.
func (s *screen) Secret(prompt string) (string, error) {
	if err := s.echo(false); err != nil {
		return "", err
	}
	text, err := s.Ask(prompt, 0)
	s.write("\n")
	return text, errors.Join(err, s.echo(true))
}

// Say implements console.Terminal.
func (s *screen) Say(text string) { s.write(text + "\n") }

func (s *screen) write(text string) {
	_, _ = io.WriteString(s.File, strings.ReplaceAll(text, "\n", "\r\n"))
}

// echo says whether the terminal shows what is typed. The descriptor is not taken out of
// Go's hands: deadlines would not work any more.
func (s *screen) echo(on bool) error {
	raw, err := s.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		settings, problem := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		if problem != nil {
			failed = problem
			return
		}
		settings.Lflag |= unix.ICANON | unix.ISIG
		settings.Iflag |= unix.ICRNL
		settings.Lflag &^= unix.ECHO
		if on {
			settings.Lflag |= unix.ECHO
		}
		failed = unix.IoctlSetTermios(int(fd), unix.TCSETS, settings)
	})
	return errors.Join(err, failed)
}

// cards are the machine's interfaces but for loopback.
func cards() []console.Card {
	all, err := net.Interfaces()
	if err != nil {
		return nil
	}
	var out []console.Card
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 || len(i.HardwareAddr) == 0 {
			continue
		}
		c := console.Card{Name: i.Name, MAC: i.HardwareAddr.String(), Up: i.Flags&net.FlagRunning != 0}
		addrs, _ := i.Addrs()
		for _, a := range addrs {
			c.Addrs = append(c.Addrs, a.String())
		}
		out = append(out, c)
	}
	return out
}

// errNoDevice says that a terminal is none of a device.
var errNoDevice = errors.New("this terminal has no device")

// shell gives the person a command line on a terminal. The kernel hangs a terminal up when
// the session that it controlled ends, so it is opened again then.
func (m *machine) shell(t console.Terminal) error {
	s, ok := t.(*screen)
	if !ok {
		return errNoDevice
	}
	cmd := exec.Command("/bin/sh", "-l") //nolint:noctx // it ends when the person leaves it
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.File, s.File, s.File
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root", "TERM=linux", "PS1=\\h:\\w# "}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	err := m.children.wait(cmd)
	if _, ended := errors.AsType[*exec.ExitError](err); ended {
		err = nil
	}
	if err != nil {
		return fmt.Errorf("start a command line: %w", err)
	}
	return s.reopen()
}
