package main

import (
	"bufio"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestReadEvents(t *testing.T) {
	const stream = `{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"a.go:1: wrong\n"}
{"Action":"fail","Package":"p","Test":"TestA","Elapsed":0.1}
{"Action":"pass","Package":"p","Test":"TestB","Elapsed":0}
{"Action":"output","Package":"p","Test":"TestC","Output":"needs root\n"}
{"Action":"skip","Package":"p","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"p","Elapsed":0.2}
not json
{"Action":"fail","Package":"broken","Elapsed":0}
{"Action":"pass","Package":"good","Elapsed":1}
`
	var (
		sum tally
		out strings.Builder
	)
	if err := readEvents(strings.NewReader(stream), &out, &sum); err != nil {
		t.Fatal(err)
	}
	if want := (tally{passed: 1, failed: 2, skipped: 1}); sum != want {
		t.Errorf("got %v, want %v: a package that does not build is a failure", sum, want)
	}
	for _, want := range []string{"a.go:1: wrong", "needs root", "not json", "ok   good"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("output lacks %q:\n%s", want, out.String())
		}
	}
}

func TestClosingLine(t *testing.T) {
	if got, want := (tally{1, 2, 3}).String(), "1 passed, 2 failed, 3 skipped"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestHostileStream reads what Go 1.26 said of packages that do not build (one by
// itself, one by its import, one by vet), panic in a subtest, run into the timeout,
// and exit with 3 after their tests.
func TestHostileStream(t *testing.T) {
	stream, err := os.Open("testdata/hostile.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	var (
		sum tally
		out strings.Builder
	)
	if err := readEvents(stream, &out, &sum); err != nil {
		t.Fatal(err)
	}
	// Failed: broken, user, vetted, hangs, exits, TestP and TestP/sub.
	if want := (tally{passed: 3, failed: 7, skipped: 1}); sum != want {
		t.Errorf("got %v, want %v", sum, want)
	}
	for _, want := range []string{
		`broken/a.go:3:23: cannot use "x"`, "FAIL\tm/broken [build failed]", "FAIL\tm/user [build failed]",
		"fmt.Printf format %d has arg", "panic: test timed out after 2s", "about to hang",
		"panic: assignment to entry in nil map", "FAIL\tm/exits", "needs a moon", "ok   m/good",
	} {
		if n := strings.Count(out.String(), want); n != 1 {
			t.Errorf("%q is told %d times, want once, in:\n%s", want, n, out.String())
		}
	}
}

func TestEndlessLineIsAnError(t *testing.T) {
	var sum tally
	err := readEvents(strings.NewReader(strings.Repeat("x", 17<<20)), &strings.Builder{}, &sum)
	if !errors.Is(err, bufio.ErrTooLong) {
		t.Errorf("got %v, want %v", err, bufio.ErrTooLong)
	}
}

func TestClosingLineIsTheLast(t *testing.T) {
	stopped, stop := context.WithCancel(t.Context())
	stop()
	for _, tt := range []struct {
		name string
		ctx  context.Context //nolint:containedctx // a row of a table
		sum  tally
		last string
		fail bool
	}{
		{"good", t.Context(), tally{passed: 2}, "2 passed, 0 failed, 0 skipped", false},
		{"bad", t.Context(), tally{passed: 2, failed: 1}, "2 passed, 1 failed, 0 skipped", true},
		{"nothing ran", t.Context(), tally{skipped: 1}, "0 passed, 0 failed, 1 skipped", true},
		{"interrupted", stopped, tally{passed: 2}, "2 passed, 1 failed, 0 skipped", true},
	} {
		var out strings.Builder
		err := closing(tt.ctx, &out, tt.sum)
		if (err != nil) != tt.fail {
			t.Errorf("%s: error %v", tt.name, err)
		}
		if !strings.HasSuffix("\n"+out.String(), "\n"+tt.last+"\n") {
			t.Errorf("%s: ends with %q, want %q", tt.name, out.String(), tt.last)
		}
	}
}
