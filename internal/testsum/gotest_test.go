package main

import (
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
	readEvents(strings.NewReader(stream), &out, &sum)
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

func TestVerdictAction(t *testing.T) {
	for _, tt := range []struct {
		code int
		ci   bool
		want string
	}{
		{0, true, "pass"},
		{1, false, "fail"},
		{2, false, "fail"},
		{3, true, "fail"},
		{3, false, "skip"},
		{4, true, "skip"},
		{-1, false, "fail"},
	} {
		if got := verdictAction(tt.code, tt.ci); got != tt.want {
			t.Errorf("code %d in CI %v: %s, want %s", tt.code, tt.ci, got, tt.want)
		}
	}
}
