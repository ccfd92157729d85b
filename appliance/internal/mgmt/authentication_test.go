package mgmt

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/directory"
)

// outside is a directory whose people all have one password.
type outside struct {
	mu     sync.Mutex
	source string // "" = nobody is asked
	mark   string
	roles  map[string]accounts.Role
	gone   bool // it does not answer
	asked  []string
	kept   map[string]string
}

const outerPassword = "known elsewhere only"

func (o *outside) set(source string, roles map[string]accounts.Role, gone bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.source, o.roles, o.gone = source, roles, gone
}

func (o *outside) questions() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.asked
}

func (o *outside) Source() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.source
}

func (o *outside) Mark() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.mark
}

func (o *outside) Check(_ context.Context, user, password string) (accounts.Role, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, user)
	role, known := o.roles[user]
	switch {
	case o.gone:
		return 0, &directory.UnavailableError{Err: errors.New("ldaps://dc1: no answer")}
	case !known || password != outerPassword:
		return 0, directory.ErrWrong
	case role == 0:
		return 0, directory.ErrNoRole
	}
	return role, nil
}

func (o *outside) Try(ctx context.Context, user, password string) (string, accounts.Role, error) {
	if o.Source() == "" {
		return "", 0, ErrRefused
	}
	role, err := o.Check(ctx, user, password)
	return o.Source(), role, err
}

func (o *outside) State() api.AuthState {
	return api.AuthState{Source: o.Source(), Secrets: []string{"ldap"}, Warnings: []string{}}
}

func (o *outside) KeepSecret(source, secret string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if source == "local" {
		return &FieldsError{Fields: map[string]string{"source": "has no secret"}}
	}
	o.kept = map[string]string{source: secret}
	return nil
}

// withDirectory is an office whose directory knows an operator eva, an admin adam and
// nemo, who has no role.
func withDirectory(t *testing.T) *office {
	t.Helper()
	o := newOffice(t)
	o.s.even = 50 * time.Millisecond
	o.f.out.set("ldap", map[string]accounts.Role{"eva": accounts.Operator, "adam": accounts.Admin, "nemo": 0, "otto": accounts.Admin}, false)
	return o
}

// enter logs somebody in from an address of their own.
func (o *office) enter(user, password, from string) (code int, p api.Problem, in api.LoggedIn) {
	o.t.Helper()
	code, p, body := o.ask(http.MethodPost, api.PathSession, "", `{"user":"`+user+`","password":"`+password+`"}`, api.HeaderFrom, from)
	if code == http.StatusOK {
		if err := json.Unmarshal(body, &in); err != nil {
			o.t.Fatal(err)
		}
	}
	return code, p, in
}

// lately is the newest lines of the audit trail, as the login wrote them.
func (o *office) lately(n int) []string {
	o.t.Helper()
	entries, err := o.s.opts.People.Trail.Latest(n)
	if err != nil {
		o.t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.Join([]string{e.User, e.Action, e.Target, e.After, e.Outcome}, "|"))
	}
	return out
}

func TestExternalLogin(t *testing.T) {
	o := withDirectory(t)
	code, p, in := o.enter("eva", outerPassword, "192.0.2.1")
	if code != http.StatusOK || in.Session.Role != "operator" || in.Session.Source != "ldap" || in.Session.User != "eva" {
		t.Fatalf("%d %+v %+v", code, p, in)
	}
	if code, p, _ := o.ask(http.MethodPut, api.PathPassword, in.Token, `{"old":"x","new":"y"}`); code != http.StatusConflict || !strings.Contains(p.Detail, "ldap") {
		t.Errorf("a new password for the directory: %d %+v", code, p)
	}
	o.ask(http.MethodDelete, api.PathSession, in.Token, "")
	want := []string{
		"eva (ldap)|log out|||done",
		"eva (ldap)|change the own password|||your password is not kept here: change it where it is (ldap)",
		"eva|log in|eva|operator, by ldap|done",
	}
	if diff := cmp.Diff(want, o.lately(3)); diff != "" {
		t.Errorf("the trail (-want +got):\n%s", diff)
	}
}

// TestAccountsOfTheNodeComeFirst: whatever the directory says or does not say, and their
// passwords are told to nobody.
func TestAccountsOfTheNodeComeFirst(t *testing.T) {
	o := withDirectory(t)
	for _, gone := range []bool{false, true} {
		o.f.out.set("ldap", map[string]accounts.Role{"otto": accounts.Admin}, gone)
		if code, p, in := o.enter("otto", goodPassword, "192.0.2.2"); code != http.StatusOK || in.Session.Role != "operator" || in.Session.Source != "" {
			t.Errorf("%d %+v %+v", code, p, in)
		}
		for _, name := range []string{"otto", "OTTO", "*)(uid=*"} {
			if code, _, _ := o.enter(name, outerPassword, "192.0.2.3"); code != http.StatusUnauthorized {
				t.Errorf("%s by the directory: %d", name, code)
			}
		}
	}
	if asked := o.f.out.questions(); len(asked) != 0 {
		t.Errorf("the directory was asked about %q", asked)
	}
}

// TestRefusalsAreAlike: by what is said, by how long it takes, and by what guessing costs.
func TestRefusalsAreAlike(t *testing.T) {
	o := withDirectory(t)
	for i, one := range []struct{ user, password, outcome string }{
		{"loadbalancer", "wrong", "the user name or the password is wrong"},
		{"eva", "wrong", "ldap: the name or the password is wrong"},
		{"nobody", "wrong", "ldap: the name or the password is wrong"},
		{"nemo", outerPassword, "ldap: the password is right, but the person is in no group that has a role"},
	} {
		began := time.Now()
		code, p, _ := o.enter(one.user, one.password, "192.0.2.3"+string(rune('0'+i)))
		if code != http.StatusUnauthorized || p.Detail != "the user name or the password is wrong" {
			t.Errorf("%s: %d %+v", one.user, code, p)
		}
		if spent := time.Since(began); spent < o.s.even {
			t.Errorf("%s was refused after %v", one.user, spent)
		}
		if got := o.lately(1)[0]; !strings.HasSuffix(got, "|"+one.outcome) {
			t.Errorf("%s: the trail says %s, want %s", one.user, got, one.outcome)
		}
	}
}

func TestGuessesAtTheDirectoryAreSlow(t *testing.T) {
	o := withDirectory(t)
	code := 0
	for _, name := range []string{"eva", "EVA", "Eva", "eVa", "evA"} { // one person of a directory
		code, _, _ = o.enter(name, "wrong", "192.0.2.4")
	}
	asked := len(o.f.out.questions())
	if code != http.StatusTooManyRequests || asked != 4 {
		t.Errorf("%d, asked %d times", code, asked)
	}
	if code, _, _ := o.enter("eva", outerPassword, "192.0.2.5"); code != http.StatusTooManyRequests || len(o.f.out.questions()) != asked {
		t.Errorf("from elsewhere: %d, asked %q", code, o.f.out.questions())
	}
}

func TestSilentDirectory(t *testing.T) {
	o := withDirectory(t)
	o.f.out.set("ldap", nil, true)
	code, p, _ := o.enter("eva", outerPassword, "192.0.2.6")
	if code != http.StatusUnauthorized || !strings.Contains(p.Detail, "does not answer") {
		t.Errorf("%d %+v", code, p)
	}
	if got := o.lately(1)[0]; !strings.Contains(got, "ldap: nobody could be asked: ldaps://dc1: no answer") {
		t.Errorf("the trail says %s", got)
	}
	_, local, _ := o.enter("loadbalancer", "wrong", "192.0.2.7")
	if local.Detail != p.Detail {
		t.Errorf("the answer tells who was asked: %q, %q", p.Detail, local.Detail)
	}
	if code, _, _ := o.enter("loadbalancer", goodPassword, "192.0.2.7"); code != http.StatusOK {
		t.Errorf("an account of the node: %d", code)
	}
}

func TestConfirmByTheDirectory(t *testing.T) {
	o := withDirectory(t)
	_, _, in := o.enter("adam", outerPassword, "192.0.2.8")
	confirm := func(password string) (int, api.Problem) {
		code, p, _ := o.ask(http.MethodPost, api.PathConfirm, in.Token, `{"password":"`+password+`"}`)
		return code, p
	}
	if code, p := confirm("wrong"); code != http.StatusForbidden || !p.Confirm {
		t.Errorf("a wrong one: %d %+v", code, p)
	}
	if code, p := confirm(outerPassword); code != http.StatusNoContent {
		t.Errorf("the right one: %d %+v", code, p)
	}
	o.f.out.set("ldap", nil, true)
	if code, p := confirm(outerPassword); code != http.StatusServiceUnavailable {
		t.Errorf("nobody to ask: %d %+v", code, p)
	}
	o.f.out.set("ldap", map[string]accounts.Role{"adam": accounts.Auditor}, false)
	if code, _ := confirm(outerPassword); code != http.StatusNoContent {
		t.Errorf("an auditor now: %d", code)
	}
	if code, _, _ := o.ask(http.MethodPost, api.PathReload, in.Token, ""); code != http.StatusForbidden {
		t.Errorf("the role of before counts: %d", code)
	}
	o.f.out.set("ldap", map[string]accounts.Role{"adam": 0}, false)
	if code, _ := confirm(outerPassword); code != http.StatusUnauthorized {
		t.Errorf("no role any more: %d", code)
	}
	if code, _, _ := o.ask(http.MethodGet, api.PathSession, in.Token, ""); code != http.StatusUnauthorized {
		t.Errorf("the session of who has no role: %d", code)
	}
}

// TestSessionsEndWithTheirSource: who was let in by somebody that is asked no more.
func TestSessionsEndWithTheirSource(t *testing.T) {
	o := withDirectory(t)
	local := o.login("anna")
	for _, source := range []string{"radius", ""} {
		o.f.out.set("ldap", map[string]accounts.Role{"eva": accounts.Operator}, false)
		_, _, in := o.enter("eva", outerPassword, "192.0.2.8")
		o.f.out.set(source, nil, false)
		if code, _, _ := o.ask(http.MethodGet, api.PathSession, in.Token, ""); code != http.StatusUnauthorized {
			t.Errorf("%q: %d", source, code)
		}
	}
	if code, _, _ := o.ask(http.MethodGet, api.PathSession, local, ""); code != http.StatusOK {
		t.Errorf("a session of the node: %d", code)
	}
}

// TestSessionsEndWithWhatLetThemIn: other groups or servers, or an account of the node
// with that name.
func TestSessionsEndWithWhatLetThemIn(t *testing.T) {
	o := withDirectory(t)
	over := func(token string) bool {
		code, _, _ := o.ask(http.MethodGet, api.PathSession, token, "")
		return code == http.StatusUnauthorized
	}
	_, _, in := o.enter("eva", outerPassword, "192.0.2.8")
	if over(in.Token) {
		t.Fatal("at once")
	}
	o.f.out.mu.Lock()
	o.f.out.mark = "other groups"
	o.f.out.mu.Unlock()
	if !over(in.Token) {
		t.Error("the settings of before count")
	}
	_, _, in = o.enter("eva", outerPassword, "192.0.2.8")
	if over(in.Token) {
		t.Fatal("at once")
	}
	if err := o.s.opts.People.Accounts.Set("Eva", accounts.Auditor, "an account of this node"); err != nil {
		t.Fatal(err)
	}
	if !over(in.Token) {
		t.Error("there are two of one name")
	}
}

// TestOnePersonOfADirectory, however the name is written; the role of today holds for all
// sessions.
func TestOnePersonOfADirectory(t *testing.T) {
	o := withDirectory(t)
	_, _, first := o.enter("ADAM", outerPassword, "192.0.2.8")
	if first.Session.User != "adam" || first.Session.Role != "admin" {
		t.Errorf("%+v", first)
	}
	o.f.out.set("ldap", map[string]accounts.Role{"adam": accounts.Auditor}, false)
	if code, _, _ := o.enter("adam", outerPassword, "192.0.2.9"); code != http.StatusOK {
		t.Fatal(code)
	}
	if code, _, _ := o.ask(http.MethodPost, api.PathReload, first.Token, ""); code != http.StatusForbidden {
		t.Errorf("the role of before counts in the other session: %d", code)
	}
	o.f.out.set("ldap", map[string]accounts.Role{"adam": 0}, false)
	o.enter("Adam", outerPassword, "192.0.2.9")
	if code, _, _ := o.ask(http.MethodGet, api.PathSession, first.Token, ""); code != http.StatusUnauthorized {
		t.Errorf("who has no role any more: %d", code)
	}
	o.f.out.set("radius", map[string]accounts.Role{"Eva": accounts.Auditor}, false)
	if code, _, in := o.enter("Eva", outerPassword, "192.0.2.10"); code != http.StatusOK || in.Session.User != "Eva" {
		t.Errorf("of RADIUS: %d %+v", code, in)
	}
}

func TestAuthTest(t *testing.T) {
	o := withDirectory(t)
	token := o.login("loadbalancer")
	try := func(user, password string) (int, api.AuthTested) {
		code, _, body := o.ask(http.MethodPost, api.PathAuthTest, token, `{"user":"`+user+`","password":"`+password+`"}`)
		var out api.AuthTested
		_ = json.Unmarshal(body, &out)
		return code, out
	}
	for _, one := range []struct {
		user, password, text string
		ok                   bool
	}{
		{"eva", outerPassword, "eva may log in with the role operator", true},
		{"eva", "wrong", "the name or the password is wrong", false},
		{"nemo", outerPassword, "in no group that has a role", false},
		{"otto", outerPassword, "the account of this node", true},
	} {
		if code, out := try(one.user, one.password); code != http.StatusOK || out.OK != one.ok || !strings.Contains(out.Text, one.text) || out.Source != "ldap" {
			t.Errorf("%s: %d %+v", one.user, code, out)
		}
	}
	if got := o.lately(1)[0]; !strings.Contains(got, "loadbalancer|test external authentication|otto|ldap|") {
		t.Errorf("the trail says %s", got)
	}
	if code, _ := try("*)(uid=*", "x"); code != http.StatusUnprocessableEntity {
		t.Errorf("no name of anybody: %d", code)
	}
	o.f.out.set("ldap", nil, true)
	if code, out := try("eva", outerPassword); code != http.StatusOK || out.OK || !strings.Contains(out.Text, "nobody could be asked") {
		t.Errorf("no answer: %d %+v", code, out)
	}
	o.f.out.set("", nil, false)
	if code, _ := try("eva", outerPassword); code != http.StatusConflict {
		t.Errorf("nobody to ask: %d", code)
	}
	o.f.out.set("ldap", map[string]accounts.Role{}, false)
	code := 0
	for range 20 {
		if code, _ = try("eva", "guess"); code == http.StatusTooManyRequests {
			break
		}
	}
	if code != http.StatusTooManyRequests {
		t.Errorf("guessing by tests is answered with %d for ever", code)
	}
}

func TestAuthSettingsNeedThePassword(t *testing.T) {
	o := withDirectory(t)
	token := o.login("loadbalancer")
	var state api.AuthState
	if _, _, body := o.ask(http.MethodGet, api.PathAuth, token, ""); json.Unmarshal(body, &state) != nil || state.Source != "ldap" {
		t.Errorf("%s", body)
	}
	if code, p, _ := o.ask(http.MethodPut, api.PathAuthSecret, token, `{"source":"ldap","secret":"s3cret word"}`); code != http.StatusNoContent || o.f.out.kept["ldap"] != "s3cret word" {
		t.Errorf("%d %+v", code, p)
	}
	if code, p, _ := o.ask(http.MethodPut, api.PathAuthSecret, token, `{"source":"local","secret":"x"}`); code != http.StatusUnprocessableEntity || p.Fields["source"] == "" {
		t.Errorf("%d %+v", code, p)
	}
	entries, err := o.s.opts.People.Trail.Latest(1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Before+e.After+e.Target+e.Outcome, "s3cret") {
			t.Errorf("the secret is in the trail: %+v", e)
		}
	}
	bare, _ := o.s.opts.People.Sessions.Start(staff()[0], o.s.opts.People.Sessions.List()[0].From, "") // without the password
	for path, body := range map[string]string{"/api/v1/draft/parts/node": `{"authentication.source":"local"}`, api.PathAuthSecret: `{"source":"ldap","secret":"x"}`} {
		if code, p, _ := o.ask(http.MethodPut, path, bare, body); code != http.StatusForbidden || !p.Confirm {
			t.Errorf("%s without the password: %d %+v", path, code, p)
		}
	}
	if code, p, _ := o.ask(http.MethodPut, "/api/v1/draft/parts/node", bare, `{"role":"primary"}`); code != http.StatusNoContent {
		t.Errorf("another setting of the node: %d %+v", code, p)
	}
}
