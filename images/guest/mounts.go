package guest

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mount is one file system of the kernel's own.
type mount struct {
	kind, at string
	flags    uintptr
	data     string
}

// mounts are the file systems that programs expect, in their order.
func mounts() []mount {
	const safe = unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC
	return []mount{
		{"proc", "/proc", safe, ""},
		{"sysfs", "/sys", safe, ""},
		{"devtmpfs", "/dev", unix.MS_NOSUID, "mode=0755"},
		{"devpts", "/dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "mode=0620,ptmxmode=0666"},
		{"tmpfs", "/dev/shm", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777"},
		{"tmpfs", "/run", unix.MS_NOSUID | unix.MS_NODEV, "mode=0755"},
		{"tmpfs", "/tmp", unix.MS_NOSUID | unix.MS_NODEV, "mode=1777,size=64m"},
		{"bpf", "/sys/fs/bpf", safe, "mode=0700"},
		{"cgroup2", "/sys/fs/cgroup", safe, ""},
	}
}

// mountAll mounts them; one that fails keeps the others from nothing. The root that the kernel
// made of memory is everybody's to write to, which sshd takes for a reason to believe no key.
func mountAll() error {
	errs := []error{os.Chmod("/", 0o755)}
	for _, m := range mounts() {
		if err := os.MkdirAll(m.at, 0o755); err != nil {
			errs = append(errs, fmt.Errorf("make %s: %w", m.at, err))
			continue
		}
		if err := unix.Mount(m.kind, m.at, m.kind, m.flags, m.data); err != nil && !errors.Is(err, unix.EBUSY) {
			errs = append(errs, fmt.Errorf("mount %s: %w", m.at, err))
		}
	}
	return errors.Join(errs...)
}

// firmwareVariables is where the kernel has a place for them after a start by UEFI.
const firmwareVariables = "/sys/firmware/efi/efivars"

// mountFirmware lets the daemon read whether Secure Boot is on, and by which keys. Nobody
// writes them.
func mountFirmware() error {
	if !exists(firmwareVariables) {
		return nil
	}
	return unix.Mount("efivarfs", firmwareVariables, "efivarfs", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC|unix.MS_RDONLY, "")
}

// sysctl is one setting of the kernel.
type sysctl struct{ key, value string }

// sysctls are what a load balancer wants otherwise than the kernel's default.
func sysctls() []sysctl {
	return []sysctl{
		// Ports that a service may have (guide 10.2: 50000-65535) are no ports of our own
		// connections.
		{"net/ipv4/ip_local_port_range", "10240 49999"},
		{"net/ipv4/tcp_fin_timeout", "15"},
		{"net/core/somaxconn", "65535"},
		{"net/core/bpf_jit_enable", "1"},
		{"kernel/unprivileged_bpf_disabled", "1"},
		{"kernel/panic", "10"},
		{"kernel/panic_on_oops", "1"},
		{"kernel/printk", "4 4 1 4"},
		{"fs/nr_open", "2097152"},
	}
}

func setSysctls() error {
	var errs []error
	for _, s := range sysctls() {
		if err := os.WriteFile("/proc/sys/"+s.key, []byte(s.value), 0o644); err != nil {
			errs = append(errs, fmt.Errorf("set %s: %w", s.key, err))
		}
	}
	return errors.Join(errs...)
}

// maxFiles is how many files a process may have open.
const maxFiles = 1 << 20

func setLimits() error {
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: maxFiles, Max: maxFiles}); err != nil {
		return fmt.Errorf("raise the limit of open files: %w", err)
	}
	return nil
}
