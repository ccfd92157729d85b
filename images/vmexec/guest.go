package vmexec

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/images/kmod"
)

// cannotRun is the exit status of a program that could not be started, as shells have it.
const cannotRun = 126

// IsGuest says whether this process is the machine's init or its modprobe.
func IsGuest(name string) bool {
	_, err := os.Stat(orderFile)
	return err == nil && (os.Getpid() == 1 || filepath.Base(name) == "modprobe")
}

// Guest is the machine's side. As init it does not return: it ends the machine.
func Guest(args []string) int {
	if os.Getpid() != 1 {
		return load(args[1:])
	}
	fmt.Println(upWord)
	code, err := serve()
	if err != nil {
		fmt.Println("vmexec:", err)
	}
	fmt.Printf("\n%s%d\n", exitWord, code)
	drain(os.Stdout)
	unix.Sync()
	if err := unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF); err != nil {
		fmt.Println("vmexec: power off:", err)
	}
	return cannotRun
}

// load is modprobe: the kernel asks for what a system call needs.
func load(args []string) int {
	data, err := os.ReadFile(indexFile)
	if err != nil {
		return 1
	}
	index, err := kmod.ParseIndex(data)
	if err != nil {
		return 1
	}
	code := 0
	for _, name := range args {
		if !strings.HasPrefix(name, "-") && index.Load(name) != nil {
			code = 1
		}
	}
	return code
}

// serve prepares the machine and runs the program.
func serve() (int, error) {
	if err := prepare(); err != nil {
		return cannotRun, err
	}
	data, err := os.ReadFile(orderFile)
	if err != nil {
		return cannotRun, fmt.Errorf("read the order: %w", err)
	}
	var o order
	if err = json.Unmarshal(data, &o); err != nil {
		return cannotRun, fmt.Errorf("read the order: %w", err)
	}
	out, err := line("/dev/ttyS1")
	if err != nil {
		return cannotRun, err
	}
	cmd := exec.Command(programFile, o.Args...) //nolint:noctx // ends with the machine
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = o.Dir, o.Env, out, out
	if err := cmd.Start(); err != nil {
		return cannotRun, fmt.Errorf("start the program: %w", err)
	}
	code := reap(cmd.Process.Pid)
	drain(out)
	return code, nil
}

// prepare makes what a process expects to find.
func prepare() error {
	var errs []error
	for _, m := range []struct{ kind, at, data string }{
		{"proc", "/proc", ""},
		{"sysfs", "/sys", ""},
		{"devtmpfs", "/dev", ""},
		{"tmpfs", "/tmp", "mode=1777"},
		{"tmpfs", "/run", "mode=755"},
		{"bpf", "/sys/fs/bpf", "mode=700"},
		{"cgroup2", "/sys/fs/cgroup", ""},
	} {
		if err := unix.Mount(m.kind, m.at, m.kind, 0, m.data); err != nil {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.at, err))
		}
	}
	for _, dir := range []struct{ at, kind string }{{"/dev/pts", "devpts"}, {"/dev/shm", "tmpfs"}} {
		if err := os.MkdirAll(dir.at, 0o755); err != nil {
			errs = append(errs, err)
		} else if err := unix.Mount(dir.kind, dir.at, dir.kind, 0, ""); err != nil {
			errs = append(errs, fmt.Errorf("mount %s: %w", dir.at, err))
		}
	}
	errs = append(errs,
		os.Symlink("/proc/self/fd", "/dev/fd"),
		os.WriteFile("/proc/sys/kernel/modprobe", []byte(modprobe), 0o644),
		unix.Sethostname([]byte("vmexec")), loopback())
	return errors.Join(errs...)
}

// loopback brings lo up.
func loopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	defer unix.Close(fd)
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		return fmt.Errorf("bring loopback up: %w", err)
	}
	return nil
}

// line opens a serial line that changes no byte.
func line(at string) (*os.File, error) {
	f, err := os.OpenFile(at, os.O_WRONLY|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, fmt.Errorf("open the serial line: %w", err)
	}
	t, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("set the serial line: %w", err), f.Close())
	}
	t.Oflag &^= unix.OPOST
	t.Lflag = 0
	t.Cflag = t.Cflag&^unix.CBAUD | unix.B115200
	if err := unix.IoctlSetTermios(int(f.Fd()), unix.TCSETS, t); err != nil {
		return nil, errors.Join(fmt.Errorf("set the serial line: %w", err), f.Close())
	}
	return f, nil
}

// drain waits until a line has sent what was written.
func drain(f *os.File) { _ = unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1) }

// reap waits for the program, and for every orphan meanwhile, as init must.
func reap(pid int) int {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return cannotRun
		case got == pid && status.Exited():
			return status.ExitStatus()
		case got == pid && status.Signaled():
			return 128 + int(status.Signal())
		}
	}
}
