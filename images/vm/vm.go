// Package vm boots disks in QEMU, without KVM, and talks to them over their serial line.
// The machines have no network but what the caller forwards on loopback, or the taps that it
// gives them.
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
	"sync/atomic"
	"syscall"

	"github.com/vosbed/vosbed/internal/qemu"
)

// VM is a running machine.
type VM struct {
	*Line

	cmd     *exec.Cmd
	serial  net.Conn
	control string // path of QEMU's own socket
	ended   chan struct{}
	err     error
	crashes atomic.Int64
}

// Crashes is how often the emulator crashed the machine's kernel, and it was reset (see
// [qemu.Crashed]).
func (v *VM) Crashes() int { return int(v.crashes.Load()) }

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
	v := &VM{ended: make(chan struct{}), control: filepath.Join(o.Dir, "control.sock")}
	var complaint bytes.Buffer
	v.cmd = exec.CommandContext(ctx, qemu.Program, append(args, "-serial", "unix:"+socket, "-qmp", "unix:"+v.control+",server=on,wait=off")...)
	v.cmd.Stderr = &complaint
	v.cmd.ExtraFiles = o.taps()
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
	v.Line = NewLine(v.serial, v.serial, v.ended)
	if o.Restarts {
		go v.mend(ctx)
	}
	return v, nil
}

// Streams are a terminal's.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
}

// Attach runs a machine with its serial line on the caller's terminal until it ends, or
// until the person types Ctrl-A X.
func Attach(ctx context.Context, o Options, s Streams) error {
	args, err := o.args()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, qemu.Program, append(args, "-chardev", "stdio,id=tty,mux=on,signal=off", "-serial", "chardev:tty")...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = s.In, s.Out, s.Err
	cmd.ExtraFiles = o.taps()
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("run qemu: %w", err)
	}
	return nil
}

// Wait waits until the machine has written a text since the last one waited for.
func (v *VM) Wait(ctx context.Context, text string) error {
	err := v.Line.Wait(ctx, text)
	select {
	case <-v.ended:
		if err != nil {
			return errors.Join(err, v.err)
		}
	default:
	}
	return err
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
