package main

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"lbd": main})
}

// TestScript tells stories of a daemon that cannot start: what it says and how it
// exits. Nothing in them gets as far as programming anything.
func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:  "testdata/script",
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"lbd-exit": exitsWith, "occupy": occupy, "envfile": envfile},
	})
}

// exitsWith is the story command "lbd-exit CODE ARGS...": lbd must end so.
func exitsWith(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: lbd-exit CODE ARGS...")
	}
	err := ts.Exec("lbd", args[1:]...)
	got := exitOK
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		got = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if strconv.Itoa(got) != args[0] {
		ts.Fatalf("lbd exits with %d, want %s", got, args[0])
	}
}

// occupy is the story command "occupy unix FILE" or "occupy tcp VARIABLE": something
// else listens there; the variable gets the address.
func occupy(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: occupy unix FILE | occupy tcp VARIABLE")
	}
	at := "127.0.0.1:0"
	if args[0] == "unix" {
		at = filepath.Join(ts.Getenv("WORK"), args[1])
	}
	ln, err := new(net.ListenConfig).Listen(context.Background(), args[0], at)
	ts.Check(err)
	ts.Defer(func() { _ = ln.Close() })
	if args[0] == "tcp" {
		ts.Setenv(args[1], ln.Addr().String())
	}
}

// envfile is the story command "envfile FILE": variables in it are replaced.
func envfile(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: envfile FILE")
	}
	text := os.Expand(ts.ReadFile(args[0]), ts.Getenv)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}
