package accounts

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func addr(text string) netip.Addr { return netip.MustParseAddr(text) }

func anna() Account { return Account{Name: "anna", Role: Operator} }

// later lets the bubble's clock run.
func later(d time.Duration) { <-time.After(d) }

func TestSessionTimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(SessionOptions{})
		begin := time.Now()
		token, session := s.Start(anna(), addr("::ffff:192.0.2.7"), "Browser\x1b[2J 1.0")
		want := Session{
			ID: session.ID, User: "anna", Role: Operator, From: addr("192.0.2.7"), Agent: "Browser[2J 1.0",
			Started: begin, Used: begin, Expires: begin.Add(15 * time.Minute),
		}
		if diff := cmp.Diff(want, session, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("started (-want +got)\n%s", diff)
		}
		later(14 * time.Minute)
		got, err := s.Use(token, true)
		if err != nil || !got.Used.Equal(begin) || !got.Expires.Equal(want.Expires) {
			t.Errorf("in the background: %+v, %v", got, err)
		}
		got, err = s.Use(token, false)
		if err != nil || !got.Used.Equal(time.Now()) || !got.Expires.Equal(time.Now().Add(15*time.Minute)) {
			t.Errorf("by a person: %+v, %v", got, err)
		}
		later(15*time.Minute - 1)
		if _, err := s.Use(token, true); err != nil {
			t.Errorf("just before the end: %v", err)
		}
		later(1)
		if _, err := s.Use(token, false); !errors.Is(err, ErrNoSession) {
			t.Errorf("idle: %v", err)
		}
	})
}

func TestAbsoluteEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(SessionOptions{})
		token, first := s.Start(anna(), netip.Addr{}, "")
		uses := 0
		for {
			session, err := s.Use(token, false)
			if err != nil {
				break
			}
			if session.Expires.After(first.Started.Add(8 * time.Hour)) {
				t.Fatalf("expires %v after its start", session.Expires.Sub(first.Started))
			}
			uses++
			later(10 * time.Minute)
		}
		if uses != 48 {
			t.Errorf("%d uses in 8 hours, want 48", uses)
		}
		if n := len(s.List()); n != 0 {
			t.Errorf("%d sessions are left", n)
		}
	})
}

func TestConfirm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(SessionOptions{})
		token, session := s.Start(anna(), netip.Addr{}, "")
		if !session.Confirmed.IsZero() {
			t.Error("a new session is confirmed")
		}
		later(time.Minute)
		must(t, s.Confirm(token))
		until := time.Now().Add(5 * time.Minute)
		later(5*time.Minute - 1)
		if session, err := s.Use(token, true); err != nil || !session.Confirmed.Equal(until) {
			t.Errorf("%+v, %v", session, err)
		}
		later(1)
		if session, err := s.Use(token, false); err != nil || !session.Confirmed.IsZero() {
			t.Errorf("afterwards: %+v, %v", session, err)
		}
		must(t, s.Confirm(token))
		s.SetRole("anna", Admin)
		if session, err := s.Use(token, false); err != nil || session.Role != Admin || !session.Confirmed.IsZero() {
			t.Errorf("with another role: %+v, %v", session, err)
		}
		if err := s.Confirm("no token"); !errors.Is(err, ErrNoSession) {
			t.Errorf("no token: %v", err)
		}
	})
}

func TestTokens(t *testing.T) {
	s := NewSessions(SessionOptions{})
	seen := map[string]bool{}
	for range mostPerUser {
		token, session := s.Start(anna(), netip.Addr{}, "")
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) != 32 || seen[token] || seen[session.ID] || strings.Contains(token, session.ID) {
			t.Errorf("token %s, ID %s: %v", token, session.ID, err)
		}
		seen[token], seen[session.ID] = true, true
		if text := fmt.Sprintf("%+v", s.set); strings.Contains(text, token) {
			t.Error("the token is kept")
		}
	}
	for _, wrong := range []string{"", "x", strings.Repeat("A", 43), strings.Repeat("A", 1e6)} {
		if _, err := s.Use(wrong, false); !errors.Is(err, ErrNoSession) {
			t.Errorf("%.50s: %v", wrong, err)
		}
		s.End(wrong) // no harm
	}
	if n := len(s.List()); n != mostPerUser {
		t.Errorf("%d sessions", n)
	}
}

func TestMostSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewSessions(SessionOptions{Max: 20})
		first, _ := s.Start(anna(), netip.Addr{}, "")
		later(time.Second)
		second, _ := s.Start(anna(), netip.Addr{}, "")
		for range mostPerUser - 2 {
			later(time.Second)
			s.Start(anna(), netip.Addr{}, "")
		}
		if _, err := s.Use(first, false); err != nil { // now the second is the one unused longest
			t.Fatal(err)
		}
		s.Start(anna(), netip.Addr{}, "")
		if _, err := s.Use(second, false); !errors.Is(err, ErrNoSession) {
			t.Errorf("the 17th: %v", err)
		}
		if _, err := s.Use(first, false); err != nil {
			t.Errorf("one in use ended: %v", err)
		}
		for i := range 10 {
			later(time.Second)
			s.Start(Account{Name: fmt.Sprintf("user%d", i), Role: Auditor}, netip.Addr{}, "")
		}
		if n := len(s.List()); n != 20 {
			t.Errorf("%d sessions, want 20", n)
		}
	})
}

func TestEnding(t *testing.T) {
	s := NewSessions(SessionOptions{})
	a1, _ := s.Start(anna(), netip.Addr{}, "")
	a2, second := s.Start(anna(), netip.Addr{}, "")
	a3, _ := s.Start(anna(), netip.Addr{}, "")
	b, _ := s.Start(Account{Name: "ben", Role: Admin}, netip.Addr{}, "")
	live := func() string {
		var names []string
		for name, token := range map[string]string{"a1": a1, "a2": a2, "a3": a3, "b": b} {
			if _, err := s.Use(token, false); err == nil {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	steps := []struct {
		name string
		do   func() bool
		want string
	}{
		{"revoke by token", func() bool { return errors.Is(s.Revoke(a2), ErrNoSession) }, "a1 a2 a3 b"},
		{"revoke", func() bool { return s.Revoke(second.ID) == nil }, "a1 a3 b"},
		{"revoke again", func() bool { return errors.Is(s.Revoke(second.ID), ErrNoSession) }, "a1 a3 b"},
		{"the person's others", func() bool { return s.EndUser("anna", a3) == 1 }, "a3 b"},
		{"somebody's token does not count", func() bool { return s.EndUser("anna", b) == 1 }, "b"},
		{"nobody", func() bool { return s.EndUser("carl", "") == 0 }, "b"},
		{"logout", func() bool { s.End(b); return true }, ""},
	}
	for _, step := range steps {
		if ok := step.do(); !ok || live() != step.want {
			t.Errorf("%s: %v, left %q, want %q", step.name, ok, live(), step.want)
		}
	}
}

func TestListIsACopy(t *testing.T) {
	s := NewSessions(SessionOptions{})
	token, _ := s.Start(anna(), netip.Addr{}, strings.Repeat("x", 1e6))
	list := s.List()
	list[0].Role = Admin
	if got, err := s.Use(token, true); err != nil || got.Role != Operator || len(got.Agent) > 4*longestAgent {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestSettingTheClockExtendsNoSession: all that ends one bears the reading of the clock that
// nobody sets, by which package time compares.
func TestSettingTheClockExtendsNoSession(t *testing.T) {
	s := NewSessions(SessionOptions{})
	token, session := s.Start(anna(), netip.Addr{}, "")
	used, err := s.Use(token, false)
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]time.Time{"started": session.Started, "expires": session.Expires, "used": used.Used, "expires then": used.Expires} {
		if !strings.Contains(at.String(), " m=") {
			t.Errorf("%s goes by the clock on the wall: %s", name, at)
		}
	}
}
