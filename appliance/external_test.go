package appliance

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/directory"
	"github.com/vosbed/vosbed/appliance/internal/draft"
	"github.com/vosbed/vosbed/appliance/internal/mgmt"
	"github.com/vosbed/vosbed/appliance/lb"
)

// outsider is a node with settings in force, and others pending if they differ.
func outsider(t *testing.T, now, pending lb.Authentication) external {
	t.Helper()
	dir := t.TempDir()
	cfg := lb.Config{Node: lb.Node{Name: "lb1", Authentication: now}}
	f := &facts{}
	f.setConfig(cfg, "r1")
	d, err := draft.Open(draft.Options{File: filepath.Join(dir, "draft.json"), Tools: draftTools(), Current: f.current, Logger: slog.New(slog.DiscardHandler), Apply: func(context.Context, lb.Config) error { return nil }})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Edit(t.Context(), "", "anna", func(c *lb.Config) error { c.Node.Authentication = pending; return nil }); err != nil {
		t.Fatal(err)
	}
	return newExternal(&Appliance{opts: Options{StateDir: dir}, facts: f, draft: d, log: slog.New(slog.DiscardHandler)})
}

// deaf is a server that counts who calls and closes at once.
func deaf(t *testing.T) (url string, calls chan struct{}) {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	calls = make(chan struct{}, 64)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			calls <- struct{}{}
			_ = c.Close()
		}
	}()
	t.Cleanup(func() { _ = ln.Close(); <-done })
	return "ldap://" + ln.Addr().String(), calls
}

func byLDAP(server string) lb.Authentication {
	return lb.Authentication{Source: lb.AuthLDAP, Servers: []string{server}, BaseDN: "dc=x", Insecure: true, Groups: lb.AuthGroups{Admin: "cn=x"}}
}

func TestExternalAsksWhoIsInForce(t *testing.T) {
	t.Parallel()
	inForce, calls := deaf(t)
	pending, tries := deaf(t)
	e := outsider(t, byLDAP(inForce), byLDAP(pending))
	if e.Source() != "ldap" {
		t.Errorf("asks %q", e.Source())
	}
	for _, ask := range []func() error{
		func() error { _, err := e.Check(t.Context(), "anna", "x"); return err },
		func() error { _, _, err := e.Try(t.Context(), "anna", "x"); return err },
	} {
		if err := ask(); !isGone(err) {
			t.Errorf("%v", err)
		}
	}
	if len(calls) != 1 || len(tries) != 1 {
		t.Errorf("%d calls by logins and %d by tests, want one each", len(calls), len(tries))
	}
}

func isGone(err error) bool {
	_, ok := errors.AsType[*directory.UnavailableError](err)
	return ok
}

func TestNobodyElseIsAsked(t *testing.T) {
	t.Parallel()
	e := outsider(t, lb.Authentication{}, lb.Authentication{})
	if e.Source() != "" || e.State().Source != "local" {
		t.Errorf("asks %q, %+v", e.Source(), e.State())
	}
	if _, err := e.Check(t.Context(), "anna", "x"); !errors.Is(err, directory.ErrWrong) {
		t.Errorf("%v", err)
	}
	if _, _, err := e.Try(t.Context(), "anna", "x"); !errors.Is(err, mgmt.ErrRefused) {
		t.Errorf("%v", err)
	}
}

func TestLoginsThatWaitAreBounded(t *testing.T) {
	t.Parallel()
	e := outsider(t, byLDAP("ldap://127.0.0.1:1"), lb.Authentication{})
	for range mostAsking {
		e.asking <- struct{}{}
	}
	if _, err := e.Check(context.Background(), "anna", "x"); !errors.Is(err, accounts.ErrBusy) {
		t.Errorf("%v", err)
	}
}

func TestSecretsAreKeptAndNotTold(t *testing.T) {
	t.Parallel()
	e := outsider(t, byLDAP("ldap://127.0.0.1:1"), lb.Authentication{})
	if err := errors.Join(e.KeepSecret("ldap", "one"), e.KeepSecret("radius", "two")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(e.opts.StateDir, "ldap.secret")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	state := e.State()
	if !slices.Equal(state.Secrets, []string{"ldap", "radius"}) || len(state.Warnings) != 1 {
		t.Errorf("%+v", state)
	}
	for source, want := range map[lb.AuthSource]string{lb.AuthLDAP: "one", lb.AuthRADIUS: "two", lb.AuthActiveDirectory: ""} {
		if got, err := e.secret(lb.Authentication{Source: source}); got != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", source, got, err, want)
		}
	}
	for source, secret := range map[string]string{"local": "x", "../x": "x", "ldap": "a\nb", "radius": strings.Repeat("x", mostAuthSecret+1)} {
		var wrong *mgmt.FieldsError
		if err := e.KeepSecret(source, secret); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", source, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := e.secret(e.settings()); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a secret that others can read: %v", err)
	}
	if _, err := e.Check(t.Context(), "anna", "x"); !isGone(err) {
		t.Errorf("a login with it: %v", err)
	}
	if err := errors.Join(e.KeepSecret("ldap", ""), e.KeepSecret("ldap", "")); err != nil {
		t.Error(err)
	}
	if got, err := e.secret(e.settings()); got != "" || err != nil {
		t.Errorf("forgotten: %q, %v", got, err)
	}
	own := filepath.Join(t.TempDir(), "s")
	if err := os.WriteFile(own, []byte("mine\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := e.secret(lb.Authentication{SecretFile: own}); got != "mine" || err != nil {
		t.Errorf("a file of the operator: %q, %v", got, err)
	}
	for name, text := range map[string]string{"key": "-----BEGIN PRIVATE KEY-----\nMIGH\n", "lines": "a\nb", "long": strings.Repeat("x", mostAuthSecret+1), "control": "a\x00"} {
		other := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(other, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got, err := e.secret(lb.Authentication{SecretFile: other}); got != "" || err == nil {
			t.Errorf("%s: any file of the node could be sent to a server: %q, %v", name, got, err)
		}
	}
	if _, err := e.secret(lb.Authentication{SecretFile: own + "x"}); err == nil {
		t.Error("a file that is not there is no secret")
	}
}
