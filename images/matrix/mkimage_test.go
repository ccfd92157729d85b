package matrix_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/images/release"
	"github.com/vosbed/vosbed/images/vm"
	"github.com/vosbed/vosbed/internal/qemu"
	"github.com/vosbed/vosbed/internal/testenv"
)

// mkimage builds the program and returns a call of it, from the top of the repository.
func mkimage(t *testing.T) func(ctx context.Context, args ...string) *exec.Cmd {
	t.Helper()
	root, err := filepath.Abs("../..")
	must(t, err)
	at := filepath.Join(t.TempDir(), "mkimage")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", at, "./cmd/mkimage")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build mkimage: %v\n%s", err, out)
	}
	return func(ctx context.Context, args ...string) *exec.Cmd {
		cmd := exec.CommandContext(ctx, at, args...)
		cmd.Dir = root
		return cmd
	}
}

// TestBoot is what make image-boot does, on a terminal: the console answers on it, the WebUI
// on loopback, and Ctrl-A X ends it.
func TestBoot(t *testing.T) {
	at, call := whole(t), mkimage(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*vm.Patience)
	defer cancel()
	port := freePort(t)
	tty, wait := onTerminal(ctx, t, call(ctx, "boot", "--images", filepath.Dir(at), "--port", fmt.Sprint(port)))
	setUp(ctx, t, tty, port)
	must(t, tty.Keys("\x01x"))
	if err := wait(); err != nil {
		t.Errorf("Ctrl-A X: %v\n%s", err, tty.Said())
	}
}

// onTerminal runs a command that boots a machine on a terminal, again if the emulator has
// crashed the machine's kernel.
func onTerminal(ctx context.Context, t *testing.T, call *exec.Cmd) (tty *vm.Line, wait func() error) {
	t.Helper()
	for {
		tty, wait = terminalOf(ctx, t, call)
		once, end := context.WithTimeout(ctx, vm.Patience/2)
		err := tty.Wait(once, "vosbed load balancer")
		if end(); err == nil {
			return tty, wait
		}
		if !qemu.Crashed(tty.Said()) {
			t.Fatal(err)
		}
		t.Log("the emulator crashed the machine's kernel: once more")
		must(t, tty.Keys("\x01x"))
		_ = wait()
	}
}

func terminalOf(ctx context.Context, t *testing.T, call *exec.Cmd) (tty *vm.Line, wait func() error) {
	t.Helper()
	cmd := exec.CommandContext(ctx, testenv.RequireTool(t, "script"), "--quiet", "--return", "--command", strings.Join(call.Args, " "), os.DevNull)
	cmd.Dir = call.Dir
	to, err := cmd.StdinPipe()
	must(t, err)
	from, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	ended := make(chan struct{})
	return vm.NewLine(from, to, ended), func() error {
		defer close(ended)
		return cmd.Wait()
	}
}

// TestVerify verifies the images that are tested, builds them again from these sources, and
// finds them the same; a changed one is named.
func TestVerify(t *testing.T) {
	at, call := whole(t), mkimage(t)
	dir := filepath.Dir(at)
	out, err := call(t.Context(), "verify", "--rebuild", dir).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "the same bytes in every format") {
		t.Errorf("%v: %s", err, out)
	}
	key := filepath.Join(dir, release.PublicKey)
	if out, err = call(t.Context(), "verify", "--key", key, dir).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	changed := t.TempDir()
	must(t, os.CopyFS(changed, os.DirFS(dir)))
	must(t, os.WriteFile(filepath.Join(changed, release.ReadMe), []byte("run this"), 0o600))
	out, err = call(t.Context(), "verify", "--key", key, changed).CombinedOutput()
	if err == nil || !strings.Contains(string(out), "changed: "+release.ReadMe) {
		t.Errorf("a changed file: %v: %s", err, out)
	}
}
