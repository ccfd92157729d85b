package mgmt

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

func (o *office) trail() []accounts.Entry {
	o.t.Helper()
	list, err := o.s.opts.People.Trail.Latest(100)
	if err != nil {
		o.t.Fatal(err)
	}
	return list
}

// TestStrangersDoNotFillTheTrail: what anybody may send as often as they like pushes
// nothing else out of the trail; a wrong password, which has its price, is told.
func TestStrangersDoNotFillTheTrail(t *testing.T) {
	o := newOffice(t)
	for _, body := range []string{"", "{", `{"user":1}`, `{"user":"` + strings.Repeat("x", 2*maxOpenBody) + `"}`} {
		if code, _, _ := o.ask(http.MethodPost, api.PathSession, "", body); code < 400 {
			t.Errorf("%.20s is answered with %d", body, code)
		}
	}
	if got := o.trail(); len(got) > 0 {
		t.Errorf("a stranger wrote %d entries: %+v", len(got), got)
	}
	o.ask(http.MethodPost, api.PathSession, "", `{"user":"otto","password":"wrong"}`)
	if got := o.trail(); len(got) != 1 || got[0].User != "otto" {
		t.Errorf("a wrong password: %+v", got)
	}
}

// TestStrangersSendLittle: who has not logged in yet cannot make the daemon hold much.
func TestStrangersSendLittle(t *testing.T) {
	o := newOffice(t)
	body := `{"user":"otto","password":"` + strings.Repeat("x", maxOpenBody) + `"}`
	if code, _, _ := o.ask(http.MethodPost, api.PathSession, "", body); code != http.StatusRequestEntityTooLarge {
		t.Errorf("%d bytes of a stranger are answered with %d", len(body), code)
	}
}

// TestLoginOfAnAccountThatGoes: an account that was removed, or became something less,
// between the check of the password and the session gets none.
func TestLoginOfAnAccountThatGoes(t *testing.T) {
	for name, gone := range map[string]func(*accounts.Store) error{
		"removed": func(s *accounts.Store) error { return s.Remove("otto") },
		"demoted": func(s *accounts.Store) error { return s.Set("otto", accounts.Auditor, "") },
	} {
		o := newOffice(t)
		account, err := o.s.opts.People.Accounts.Check(t.Context(), "otto", goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		if err := gone(o.s.opts.People.Accounts); err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		o.s.letIn(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, api.PathSession, nil), account)
		if w.Code != http.StatusUnauthorized || len(o.s.opts.People.Sessions.List()) > 0 {
			t.Errorf("%s: %d, sessions %+v", name, w.Code, o.s.opts.People.Sessions.List())
		}
	}
}

// TestOnlyTheConsoleIsTheConsole: a web process that does not say where a call comes from
// is not believed to be the console.
func TestOnlyTheConsoleIsTheConsole(t *testing.T) {
	o := newOffice(t)
	token := o.login("loadbalancer")
	for _, from := range []string{"", "console", "@"} {
		if code, p, _ := o.ask(http.MethodPost, api.PathToken, token, "", api.HeaderFrom, from); code != http.StatusForbidden {
			t.Errorf("from %q: %d %+v", from, code, p)
		}
	}
	if got := o.trail()[0].From; got != "unknown" {
		t.Errorf("the trail tells of a call from %q", got)
	}
}

// TestAHandlerThatPanicsIsInTheTrail, for it may have done something.
func TestAHandlerThatPanicsIsInTheTrail(t *testing.T) {
	o := newOffice(t)
	h := o.s.guard(route{open: true, action: "try", handle: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }})
	func() {
		defer func() { _ = recover() }()
		h(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil))
	}()
	if got := o.trail(); len(got) != 1 || got[0].Outcome != "broke off" {
		t.Errorf("the trail has %+v", got)
	}
}

// TestConfirmingOftenIsNoGuessing: right passwords are not counted as attempts.
func TestConfirmingOftenIsNoGuessing(t *testing.T) {
	o := newOffice(t)
	token := o.login("loadbalancer")
	for i := range 8 {
		if code, p, _ := o.ask(http.MethodPost, api.PathConfirm, token, `{"password":"`+goodPassword+`"}`); code != http.StatusNoContent {
			t.Fatalf("the right password, time %d: %d %+v", i+1, code, p)
		}
	}
}

// TestTheTrailTellsWhatWasSet, and no secret, whatever a setting is called.
func TestTheTrailTellsWhatWasSet(t *testing.T) {
	o := newOffice(t)
	token := o.login("loadbalancer")
	o.ask(http.MethodPut, strings.Replace(api.PathDraftPart, "{part}", "cluster", 1), token, `{"dead":"2s","bind_password":"pw1","radius.secret":"pw2","secret_file":"/x"}`)
	if got := o.trail()[0]; got.After != "dead=2s secret_file=/x" || got.Target != "cluster" {
		t.Errorf("the trail has %+v", got)
	}
}
