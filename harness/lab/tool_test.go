package lab_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/lab"
	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/internal/testenv"
)

// toolLab is a lab with a folder for logs.
func toolLab(t *testing.T) (l *lab.Lab, logs string) {
	t.Helper()
	testenv.RequireRoot(t)
	plan, err := topo.Compute(topo.Spec{Use: "harmonic-vos"})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	logs = filepath.Join(dir, "logs")
	if err = os.Mkdir(logs, 0o755); err != nil {
		t.Fatal(err)
	}
	l, err = lab.Build(plan, lab.Options{
		Dir: dir, Epoch: int64(lab.Monotonic()), History: observe.NewWriter(&bytes.Buffer{}, 0), Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l, logs
}

// TestToolsRunInTheirNode starts programs that show where they are, fail, hang
// and are missing.
func TestToolsRunInTheirNode(t *testing.T) {
	l, logs := toolLab(t)
	run := func(ctx context.Context, log string, timeout time.Duration, argv ...string) (lab.Ended, error) {
		return l.RunTool(ctx, lab.Tool{Node: "clients", Log: log, Argv: argv, Timeout: timeout})
	}
	end, err := run(t.Context(), "where", 5*time.Second, "cat", "/proc/net/fib_trie")
	if err != nil || end.Failure != nil || !strings.Contains(end.Out, "10.94.4.0") {
		t.Errorf("the routes are not the node's: %v, %v\n%s", err, end.Failure, end.Out)
	}
	kept, err := os.ReadFile(filepath.Join(logs, "where.log"))
	if err != nil || !strings.HasPrefix(string(kept), "cat /proc/net/fib_trie\n") || !strings.Contains(string(kept), end.Out) {
		t.Errorf("the log keeps %q, %v", kept, err)
	}
	end, err = run(t.Context(), "fails", 5*time.Second, "cat", "/nowhere")
	if err != nil || end.Failure == nil || !strings.Contains(end.Err, "/nowhere") {
		t.Errorf("a failure: %+v, %v", end, err)
	}
	end, err = run(t.Context(), "hangs", 200*time.Millisecond, "sleep", "60")
	if err != nil || end.Failure == nil || !strings.Contains(end.Failure.Error(), "did not end within 200ms") {
		t.Errorf("a program that hangs: %+v, %v", end, err)
	}
	if _, err = run(t.Context(), "missing", time.Second, "no-such-player"); !errors.Is(err, lab.ErrCannot) {
		t.Errorf("a missing program: %v, want %v", err, lab.ErrCannot)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err = run(ctx, "stopped", time.Minute, "sleep", "60"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a run that is stopped: %v, want %v", err, context.DeadlineExceeded)
	}
	if _, err = l.RunTool(t.Context(), lab.Tool{Node: "HT1", Log: "x", Argv: []string{"cat"}, Timeout: time.Second}); err == nil {
		t.Error("a tool runs on a server")
	}
}
