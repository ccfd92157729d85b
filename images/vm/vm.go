// Package vm boots disks in QEMU, without KVM, and talks to them over their serial line.
// The machines have no network but what the caller forwards on loopback.
package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// qemu is the emulator; Debian's package qemu-system-x86 has it.
const qemu = "qemu-system-x86_64"

// VM is a running machine.
type VM struct {
	cmd    *exec.Cmd
	serial net.Conn
	ended  chan struct{}
	err    error

	mu   sync.Mutex
	said bytes.Buffer
	read int           // how much of it Wait has passed
	more chan struct{} // capacity 1
}

// Start starts a machine. It ends with ctx, or by Stop.
func Start(ctx context.Context, o Options) (*VM, error) {
	args, err := o.args()
	if err != nil {
		return nil, err
	}
	socket := filepath.Join(o.Dir, "serial.sock")
	_ = os.Remove(socket)
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", socket)
	if err != nil {
		return nil, fmt.Errorf("listen for the serial line: %w", err)
	}
	defer ln.Close()
	v := &VM{ended: make(chan struct{}), more: make(chan struct{}, 1)}
	var complaint bytes.Buffer
	v.cmd = exec.CommandContext(ctx, qemu, append(args, "-serial", "unix:"+socket)...)
	v.cmd.Stderr = &complaint
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err = v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start qemu: %w", err)
	}
	go func() {
		v.err = v.cmd.Wait()
		if complaint.Len() > 0 {
			v.err = fmt.Errorf("qemu: %s", strings.TrimSpace(complaint.String()))
		}
		close(v.ended)
		_ = ln.Close()
	}()
	if v.serial, err = ln.Accept(); err != nil {
		<-v.ended
		return nil, errors.Join(v.err, err)
	}
	go v.listen()
	return v, nil
}

// Streams are a terminal's.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Attach runs a machine with its serial line on the caller's terminal until it ends.
func Attach(ctx context.Context, o Options, s Streams) error {
	args, err := o.args()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, qemu, append(args, "-chardev", "stdio,id=tty,mux=off,signal=off", "-serial", "chardev:tty")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run qemu: %w", err)
	}
	return nil
}

func (v *VM) listen() {
	buf := make([]byte, 4096)
	for {
		n, err := v.serial.Read(buf)
		v.mu.Lock()
		v.said.Write(buf[:n])
		v.mu.Unlock()
		select {
		case v.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Said is everything that the machine wrote on its serial line.
func (v *VM) Said() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.said.String()
}

// Wait waits until the machine has written a text since the last one waited for.
func (v *VM) Wait(ctx context.Context, text string) error {
	for {
		if v.passed(text) {
			return nil
		}
		select {
		case <-v.more:
		case <-v.ended:
			return fmt.Errorf("the machine ended before it said %q: %w\n%s", text, v.err, v.Said())
		case <-ctx.Done():
			return fmt.Errorf("the machine did not say %q: %w\n%s", text, context.Cause(ctx), v.Said())
		}
	}
}

func (v *VM) passed(text string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	rest := v.said.Bytes()[v.read:]
	i := bytes.Index(rest, []byte(text))
	if i < 0 {
		return false
	}
	v.read += i + len(text)
	return true
}

// Type types a line.
func (v *VM) Type(line string) error {
	if _, err := v.serial.Write([]byte(line + "\r")); err != nil {
		return fmt.Errorf("type on the serial line: %w", err)
	}
	return nil
}

// Ended waits until the machine has ended by itself.
func (v *VM) Ended(ctx context.Context) error {
	select {
	case <-v.ended:
		return v.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Stop takes the power away.
func (v *VM) Stop() {
	_ = v.cmd.Process.Kill()
	<-v.ended
	_ = v.serial.Close()
}
