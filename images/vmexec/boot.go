package vmexec

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/vosbed/vosbed/internal/qemu"
)

// memory of the machine, in MiB; what it does not touch costs nothing.
const memory = 1024

// bootLimit is how long a machine may take to reach its init program, which takes three
// seconds. QEMU's processors, which are threads of a machine that may be busy, have been
// seen to wait for each other for ever; such a machine has not run anything yet, so it is
// started again, bootTries times at most; so is one whose kernel the emulator crashed.
const (
	bootLimit = 45 * time.Second
	bootTries = 3
)

// errStuck says that a machine did not reach its init program.
var errStuck = fmt.Errorf("the kernel did not come up within %s", bootLimit)

// upWord is the first that init says on the machine's console.
const upWord = "vmexec: up"

// exitWord precedes the exit status on the machine's console.
const exitWord = "vmexec: exit "

// consoleLimit bounds what is kept of the kernel's words, in bytes: the newest.
const consoleLimit = 16 << 10

// boot starts the machine and waits for its end. The caller's thread must live as long:
// QEMU is killed with it.
func boot(ctx context.Context, b base, initrd string, warp bool, out io.Writer) (int, error) {
	read, write, err := os.Pipe()
	if err != nil {
		return 0, fmt.Errorf("make the serial line: %w", err)
	}
	defer read.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(bootLimit, func() { cancel(errStuck) })
	defer stuck.Stop()
	var complaint tail
	console := tail{watch: upWord, seen: func() { stuck.Stop() }}
	cmd := exec.CommandContext(ctx, qemu.Program, arguments(b.kernel, initrd, warp)...)
	cmd.Stdout, cmd.Stderr, cmd.ExtraFiles = &console, &complaint, []*os.File{write}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err = cmd.Start(); err != nil {
		return 0, errors.Join(fmt.Errorf("start the machine (Debian: apt-get install qemu-system-x86): %w", err), write.Close())
	}
	_ = write.Close()
	_, copied := io.Copy(out, read)
	err = cmd.Wait()
	if ctx.Err() != nil {
		return 0, fmt.Errorf("%w; the kernel's last words:\n%s", context.Cause(ctx), console.last(5))
	}
	if err != nil {
		return 0, fmt.Errorf("qemu: %w: %s", err, strings.TrimSpace(complaint.last(5)))
	}
	if copied != nil {
		return 0, fmt.Errorf("read what the program writes: %w", copied)
	}
	code, err := verdict(console.text.String())
	if err != nil && console.seen != nil && qemu.Crashed(console.text.String()) {
		return 0, fmt.Errorf("%w: %w", errStuck, err)
	}
	return code, err
}

// arguments of QEMU: a console on the first serial line (its standard output), the
// program's output on the second (descriptor 3), and no other device. Time that warps
// follows the instructions executed and skips what nobody works in; that takes one
// processor.
func arguments(kernel, initrd string, warp bool) []string {
	pace := []string{"-accel", "tcg,thread=multi", "-smp", "2"}
	if warp {
		pace = []string{"-accel", "tcg,thread=single", "-icount", "shift=1,sleep=off", "-smp", "1"}
	}
	return append(pace,
		"-M", "q35", "-cpu", qemu.Processor, "-m", strconv.Itoa(memory),
		"-nodefaults", "-no-user-config", "-display", "none", "-vga", "none", "-nic", "none", "-no-reboot",
		"-chardev", "stdio,id=console,signal=off", "-serial", "chardev:console",
		"-chardev", "file,id=out,path=/dev/fd/3", "-serial", "chardev:out",
		"-kernel", kernel, "-initrd", initrd,
		"-append", "console=ttyS0 quiet loglevel=4 panic=-1 oops=panic random.trust_cpu=on mitigations=off",
	)
}

// verdict reads the exit status from the console's words.
func verdict(console string) (int, error) {
	for line := range strings.Lines(console) {
		if _, text, ok := strings.Cut(line, exitWord); ok {
			if code, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
				return code, nil
			}
		}
	}
	if strings.Contains(console, "Kernel panic") {
		return 0, fmt.Errorf("the kernel panicked:\n%s", strings.TrimSpace(console))
	}
	return 0, fmt.Errorf("the machine ended without telling the program's exit status; the kernel's last words:\n%s", strings.TrimSpace(console))
}

// tail keeps the newest bytes that were written to it.
type tail struct {
	text bytes.Buffer
	// seen is called once, when watch has been written.
	watch string
	seen  func()
}

// Write keeps b and forgets the oldest.
func (t *tail) Write(b []byte) (int, error) {
	t.text.Write(b)
	if t.seen != nil && bytes.Contains(t.text.Bytes(), []byte(t.watch)) {
		t.seen()
		t.seen = nil
	}
	if over := t.text.Len() - consoleLimit; over > 0 {
		t.text.Next(over)
	}
	return len(b), nil
}

// last returns the last n lines.
func (t *tail) last(n int) string {
	lines := strings.Split(strings.TrimSpace(t.text.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
