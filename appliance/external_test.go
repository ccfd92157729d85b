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
	byRADIUS := lb.Authentication{Source: lb.AuthRADIUS, Servers: []string{"192.0.2.7"}, Groups: lb.AuthGroups{Admin: "x"}}
	e := outsider(t, byLDAP("ldap://127.0.0.1:1"), byRADIUS)
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
	for source, want := range map[string]string{"ldap": "one", "radius": "two", "active-directory": ""} {
		if got, err := e.secret(source); got.secret != want || err != nil {
			t.Errorf("%s: %q, %v, want %q", source, got.secret, err, want)
		}
	}
	for source, secret := range map[string]string{"local": "x", "../x": "x", "ldap": "a\nb", "radius": strings.Repeat("x", mostAuthSecret+1), "active-directory": "no server"} {
		var wrong *mgmt.FieldsError
		if err := e.KeepSecret(source, secret); !errors.As(err, &wrong) {
			t.Errorf("%s: %v", source, err)
		}
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := e.secret("ldap"); err == nil || !strings.Contains(err.Error(), "0600") {
		t.Errorf("a secret that others can read: %v", err)
	}
	if state := e.State(); !slices.ContainsFunc(state.Warnings, func(w string) bool { return strings.Contains(w, "0600") }) {
		t.Errorf("nobody is told: %q", state.Warnings)
	}
	if _, err := e.Check(t.Context(), "anna", "x"); !isGone(err) {
		t.Errorf("a login with it: %v", err)
	}
	if err := errors.Join(e.KeepSecret("ldap", ""), e.KeepSecret("ldap", "")); err != nil {
		t.Error(err)
	}
	if got, err := e.secret("ldap"); got.secret != "" || err != nil {
		t.Errorf("forgotten: %q, %v", got.secret, err)
	}
}

// TestSecretsGoWhereTheyWereGivenFor: who may change settings, and does not know the
// secret, cannot have it sent to a server of their own.
func TestSecretsGoWhereTheyWereGivenFor(t *testing.T) {
	t.Parallel()
	known, calls := deaf(t)
	theirs, stolen := deaf(t)
	inForce := byLDAP(known)
	inForce.BindDN = "cn=reader"
	pending := inForce
	pending.Servers = []string{theirs, known}
	e := outsider(t, inForce, inForce)
	if err := e.KeepSecret("ldap", "in the dark"); err != nil {
		t.Fatal(err)
	}
	edit := func(change func(*lb.Authentication)) {
		a := pending
		change(&a)
		if err := e.draft.Edit(t.Context(), "", "mallory", func(c *lb.Config) error { c.Node.Authentication = a; return nil }); err != nil {
			t.Fatal(err)
		}
	}
	edit(func(*lb.Authentication) {})
	if _, _, err := e.Try(t.Context(), "anna", "x"); !isGone(err) || !strings.Contains(err.Error(), "given for other servers") {
		t.Errorf("%v", err)
	}
	if len(stolen) != 0 || len(calls) != 1 {
		t.Errorf("%d calls of the one that it was not given for, %d of the other", len(stolen), len(calls))
	}
	for name, change := range map[string]func(*lb.Authentication){
		"another authority": func(a *lb.Authentication) { a.Servers, a.CAFile = []string{known}, "/ca" },
		"another manner":    func(a *lb.Authentication) { a.Servers, a.StartTLS = []string{known}, true },
	} {
		edit(change)
		if _, _, err := e.Try(t.Context(), "anna", "x"); !isGone(err) || !strings.Contains(err.Error(), "given for other servers") {
			t.Errorf("%s: %v", name, err)
		}
	}
	edit(func(a *lb.Authentication) { a.Servers, a.BindDN = []string{theirs}, "" })
	if _, _, err := e.Try(t.Context(), "anna", "x"); !isGone(err) || len(stolen) != 1 {
		t.Errorf("anonymously, without any secret: %v", err)
	}
	edit(func(*lb.Authentication) {})
	if err := e.KeepSecret("ldap", "in the dark"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := e.Try(t.Context(), "anna", "x"); !isGone(err) || len(stolen) != 2 {
		t.Errorf("given once more: %v", err)
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	e := outsider(t, lb.Authentication{Source: lb.AuthRADIUS, Servers: []string{"192.0.2.7"}}, lb.Authentication{})
	if err := e.KeepSecret("radius", "short"); err != nil {
		t.Fatal(err)
	}
	if w := e.State().Warnings; len(w) != 1 || !strings.Contains(w[0], "short") {
		t.Errorf("%q", w)
	}
	a := e.settings()
	a.Servers = []string{"192.0.2.8"}
	e.facts.setConfig(lb.Config{Node: lb.Node{Authentication: a}}, "r2")
	if w := e.State().Warnings; len(w) != 2 || !strings.Contains(w[0], "192.0.2.8") {
		t.Errorf("%q", w)
	}
}

func TestMarkOfSettings(t *testing.T) {
	t.Parallel()
	a := byLDAP("ldaps://a")
	e := outsider(t, a, a)
	mark := e.Mark()
	put := func(a lb.Authentication) { e.facts.setConfig(lb.Config{Node: lb.Node{Authentication: a}}, "r2") }
	a.Timeout++
	put(a)
	if e.Mark() != mark {
		t.Error("it changes with the timeout")
	}
	a.Groups.Auditor = "cn=y"
	put(a)
	if e.Mark() == mark {
		t.Error("it does not change with the groups")
	}
}

// TestSecretsInABackup are sealed, belong to this very node, and come back as they were.
func TestSecretsInABackup(t *testing.T) {
	t.Parallel()
	a := byLDAP("ldaps://127.0.0.1:1")
	e := outsider(t, a, a)
	if err := e.KeepSecret("ldap", "in the dark"); err != nil {
		t.Fatal(err)
	}
	for _, p := range e.secretParts() {
		data, err := p.read()
		if err != nil || !p.secret || !p.own || (len(data) > 0) != (p.file == "ldap.secret") {
			t.Errorf("%+v: %q, %v", p, data, err)
		}
		if len(data) == 0 {
			continue
		}
		err = errors.Join(p.check(data), e.KeepSecret("ldap", ""), p.write(t.Context(), data))
		if kept, failed := e.secret("ldap"); err != nil || failed != nil || kept.secret != "in the dark" || len(kept.withheld(a)) != 0 {
			t.Errorf("%+v, %v, %v", kept, err, failed)
		}
		for _, wrong := range []string{"a\x00b\n", "secret\nldaps://dc1\n", strings.Repeat("x", mostAuthSecret+1)} {
			if p.check([]byte(wrong)) == nil {
				t.Errorf("%.20q is taken", wrong)
			}
		}
	}
}
