package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// role says, in the machine, what the program is to do.
const role = "VOSBED_VMEXEC_ROLE"

// The programs of TestMachine: this test binary, in the machine.
func TestProgram(t *testing.T) {
	switch os.Getenv(role) {
	case "":
		t.Skip("a part of TestMachine")
	case "fail":
		t.Error("words of a test that fails")
	case "exit":
		fmt.Println("0123456789\tb\r\n\x00 and \xff come out as they are")
		unix.Exit(42)
	case "signal":
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
		<-time.After(time.Hour)
	case "hang":
		<-time.After(time.Hour)
	case "panic":
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0o200)
		<-time.After(time.Hour)
	case "warp":
		start := time.Now()
		<-time.After(time.Hour)
		fmt.Println("an hour has passed:", time.Since(start) >= time.Hour)
	case "release":
		var u unix.Utsname
		_ = unix.Uname(&u)
		fmt.Printf("release %s, %s\n", u.Release[:4], mustRead(t, "main_test.go")[:12])
	}
}

func mustRead(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// Every way in which a program or its machine can end.
func TestMachine(t *testing.T) {
	if !slices.Contains(strings.Split(os.Getenv("VOSBED_REQUIRE"), ","), "machine") {
		t.Skip("needs Debian's kernel in the cache: make test-kernel gets it and asks for this test")
	}
	runner := filepath.Join(t.TempDir(), "vmexec")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", runner, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		role, flags, want string
		code              int
	}{
		{role: "fail", want: "words of a test that fails", code: 1},
		{role: "exit", want: "0123456789\tb\r\n\x00 and \xff come out as they are\n", code: 42},
		{role: "signal", code: 137},
		{role: "hang", flags: "-limit 8s", want: "did not end within 8s", code: exitMachine},
		{role: "panic", want: "the kernel panicked:", code: exitMachine},
		{role: "warp", flags: "-warp", want: "an hour has passed: true"},
		{role: "release", flags: "-kernel 6.1", want: "release 6.1., package main"},
		{role: "release", flags: "-kernel 6.12", want: "release 6.12, package main"},
		{role: "release", flags: "-kernel 2.4", want: `no kernel of the series "2.4"`, code: exitMachine},
	}
	for _, tt := range tests {
		t.Run(tt.role+tt.flags, func(t *testing.T) {
			args := append(strings.Fields(tt.flags), program, "-test.run=^TestProgram$")
			cmd := exec.CommandContext(t.Context(), runner, args...)
			cmd.Env = append(os.Environ(), role+"="+tt.role)
			start := time.Now()
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			if cmd.ProcessState.ExitCode() != tt.code || !strings.Contains(string(out), tt.want) {
				t.Errorf("status %d, want %d and %q in\n%s", cmd.ProcessState.ExitCode(), tt.code, tt.want, out)
			}
			t.Logf("%.1f s", time.Since(start).Seconds())
		})
	}
}
