package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// call runs the program with arguments.
func call(t *testing.T, args ...string) (string, error) {
	t.Helper()
	t.Setenv("XDG_CONFIG_HOME", t.TempDir())
	var said bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&said)
	cmd.SetErr(&said)
	err := cmd.ExecuteContext(t.Context())
	return said.String(), err
}

func TestMistakes(t *testing.T) {
	empty := t.TempDir()
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"boot", "--images", empty}, "build one first"},
		{[]string{"verify", empty}, "you have no key of your own"},
		{[]string{"verify", "--key", filepath.Join(empty, "none"), empty}, "none"},
		{[]string{"build", "surplus"}, "unknown command"},
		{[]string{"bulid"}, "unknown command"},
	} {
		if _, err := call(t, tt.args...); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%v: %v, want %q", tt.args, err, tt.want)
		}
	}
}

func TestHelpTeaches(t *testing.T) {
	for _, verb := range []string{"build", "boot", "verify"} {
		said, err := call(t, verb, "--help")
		if err != nil || !strings.Contains(said, "Usage:") || len(said) < 300 {
			t.Errorf("%s: %v\n%s", verb, err, said)
		}
	}
}

func TestSumsDiffer(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		at := filepath.Join(dir, name)
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return at
	}
	one := write("one", "aa  x.qcow2\nbb  y.ova\ncc  ReadMe.txt\ndd  x.update\n")
	got, err := sumsDiffer(one, write("two", "aa  x.qcow2\nb0  y.ova\nc0  ReadMe.txt\nd0  x.update\n"))
	if err != nil || !slices.Equal(got, []string{"y.ova"}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := sumsDiffer(one, write("three", "aa  x.qcow2\n")); err != nil || !slices.Equal(got, []string{"y.ova"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := sumsDiffer(one, filepath.Join(dir, "none")); err == nil {
		t.Error("a missing list is equal")
	}
}

func TestNewest(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"vosbed-0.1.0.qcow2", "vosbed-0.2.0.qcow2"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := newest(dir); err != nil || filepath.Base(got) != "vosbed-0.2.0.qcow2" {
		t.Errorf("%s, %v", got, err)
	}
}
