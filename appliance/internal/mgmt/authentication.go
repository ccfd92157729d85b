package mgmt

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/internal/directory"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Directory knows people who have no account on the node (guide 9.3).
type Directory interface {
	// Source names who is asked now, "" = nobody.
	Source() string
	// Mark changes as soon as somebody else may be let in: other servers, other groups.
	Mark() string
	// Check fails as [directory.Authenticator] does, or with [accounts.ErrBusy].
	Check(ctx context.Context, user, password string) (accounts.Role, error)
}

// Authentication is how that is set up.
type Authentication interface {
	State() api.AuthState
	// Try is Check with the pending settings.
	Try(ctx context.Context, user, password string) (source string, _ accounts.Role, _ error)
	KeepSecret(source, secret string) error
}

// authenticating is who else may be let in.
func (s *Server) authenticating() []route {
	const read, all = accounts.Auditor, accounts.Admin
	return []route{
		{method: http.MethodGet, path: api.PathAuth, handle: s.getAuth, least: read},
		{method: http.MethodPut, path: api.PathAuthSecret, handle: s.putAuthSecret, least: all, action: "set the secret of external authentication", sensitive: true},
		{method: http.MethodPost, path: api.PathAuthTest, handle: s.postAuthTest, least: all, action: "test external authentication"},
	}
}

// whoIs returns the account of a person. Those of the node come first, so that no directory
// can shut anybody out, and what may be one of theirs is told to nobody else.
func (s *Server) whoIs(ctx context.Context, user, password string) (accounts.Account, error) {
	people := s.opts.People
	account, err := people.Accounts.Check(ctx, user, password)
	source := people.Directory.Source()
	if !errors.Is(err, accounts.ErrWrong) || source == "" || people.Accounts.Has(user) || !accounts.ValidName(user) {
		return account, err
	}
	account = accounts.Account{Name: called(source, user), Source: source, Mark: people.Directory.Mark()}
	account.Role, err = s.ask(ctx, account.Name, password)
	return account, err
}

// called is the one name by which a person is known here. Directories know no capitals:
// ANNA is anna, in the trail and among the sessions. RADIUS servers may.
func called(source, user string) string {
	if source == lb.AuthRADIUS.String() {
		return user
	}
	return strings.ToLower(user)
}

// stillKnown reports whether an account is what it was when its password was checked.
func (s *Server) stillKnown(a accounts.Account) bool {
	people := s.opts.People
	if a.Source == "" {
		return slices.Contains(people.Accounts.List(), a)
	}
	return people.Directory.Source() == a.Source && people.Directory.Mark() == a.Mark && !people.Accounts.Has(a.Name)
}

// ask asks the directory, and remembers whether it answers and how long that took. What
// the person may do now holds for all sessions of the person.
func (s *Server) ask(ctx context.Context, user, password string) (accounts.Role, error) {
	began := time.Now()
	role, err := s.opts.People.Directory.Check(ctx, user, password)
	s.asking.Store(int64(time.Since(began)))
	switch {
	case errors.Is(err, directory.ErrNoRole):
		s.opts.People.Sessions.EndUser(user, "")
	case err == nil:
		s.opts.People.Sessions.SetRole(user, role)
	}
	gone := isUnavailable(err)
	s.unanswered.Store(gone)
	if gone {
		s.log.WarnContext(ctx, "external authentication: nobody could be asked", "user", user, "err", err)
	}
	return role, err
}

func isUnavailable(err error) bool {
	_, ok := errors.AsType[*directory.UnavailableError](err)
	return ok
}

// refusedLogin says whether somebody decided that a person may not come in.
func refusedLogin(err error) bool {
	return errors.Is(err, accounts.ErrWrong) || errors.Is(err, directory.ErrWrong) || errors.Is(err, directory.ErrNoRole)
}

// evenTime is the usual time after which a refused login is answered at the earliest while
// a directory is asked too: the time must not tell whether it was. A slower directory makes
// all refusals slower.
const evenTime = time.Second

// wrongPassword answers alike for a wrong name, a wrong password, a person without a role
// and one of whom nothing is known because the directory is silent: the answer never tells
// who was asked (ASVS 6.3.8). The trail does.
func (s *Server) wrongPassword(w http.ResponseWriter, r *http.Request, user string, err error, began time.Time) {
	if !refusedLogin(err) && !isUnavailable(err) {
		s.opts.People.Gate.Undecided(user, callerOf(r).from)
		s.refuse(w, r, err)
		return
	}
	if refusedLogin(err) {
		s.opts.People.Gate.Failed(user, callerOf(r).from)
	} else {
		s.opts.People.Gate.Undecided(user, callerOf(r).from)
	}
	source := s.opts.People.Directory.Source()
	if source != "" && !errors.Is(err, accounts.ErrWrong) {
		note(r).outcome = fmt.Sprintf("%s: %v", source, err)
	}
	text := "the user name or the password is wrong"
	if source != "" {
		wait(r.Context(), max(s.even, time.Duration(s.asking.Load()))-time.Since(began))
		if s.unanswered.Load() {
			text += ", or the directory that knows you does not answer: accounts of this node work"
		}
	}
	fail(w, http.StatusUnauthorized, text)
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// again checks the password of who is logged in, where it was checked before. What the
// person may do meanwhile takes effect at once.
func (s *Server) again(ctx context.Context, c caller, password string) error {
	if c.session.Source == "" {
		_, err := s.opts.People.Accounts.Check(ctx, c.user, password)
		return err
	}
	_, err := s.ask(ctx, c.user, password)
	return err
}

// notConfirmed answers who could not prove once more who they are.
func (s *Server) notConfirmed(w http.ResponseWriter, r *http.Request, err error) {
	switch {
	case errors.Is(err, directory.ErrNoRole):
		fail(w, http.StatusUnauthorized, "you are in no group that may log in any more: your sessions have ended")
	case refusedLogin(err):
		s.opts.People.Gate.Failed(callerOf(r).user, callerOf(r).from)
		failWith(w, api.Problem{Status: http.StatusForbidden, Detail: "the password is wrong", Confirm: true})
	case isUnavailable(err):
		s.opts.People.Gate.Undecided(callerOf(r).user, callerOf(r).from)
		note(r).outcome = err.Error()
		fail(w, http.StatusServiceUnavailable, "your password cannot be checked now: the directory that knows you does not answer")
	default:
		s.opts.People.Gate.Undecided(callerOf(r).user, callerOf(r).from)
		s.refuse(w, r, err)
	}
}

// opensDoor says whether an edit changes who may log in.
func opensDoor(part string, fields api.Fields) bool {
	if part != "node" {
		return false
	}
	for key := range fields {
		if strings.HasPrefix(key, "authentication.") {
			return true
		}
	}
	return false
}

func (s *Server) getAuth(w http.ResponseWriter, _ *http.Request) {
	reply(w, s.opts.Backend.Authentication.State())
}

func (s *Server) putAuthSecret(w http.ResponseWriter, r *http.Request) {
	var in api.AuthSecret
	err := decode(r, &in)
	if err == nil {
		note(r).target = in.Source
		err = s.opts.Backend.Authentication.KeepSecret(in.Source, in.Secret)
	}
	s.done(w, r, err)
}

// postAuthTest says how a login would end. It is a guess like any other, but that who is
// right has proved nothing: the servers are not in force yet.
func (s *Server) postAuthTest(w http.ResponseWriter, r *http.Request) {
	var in api.Login
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	note(r).target = in.User
	if !accounts.ValidName(in.User) {
		s.refuse(w, r, &FieldsError{Fields: map[string]string{"user": "use 1 to 32 letters, digits, _ - and ., a letter first: nobody with another name may log in"}})
		return
	}
	gate, from := s.opts.People.Gate, callerOf(r).from
	if wait := gate.Wait(in.User, from); wait > 0 {
		tooMany(w, wait)
		return
	}
	source, role, err := s.opts.Backend.Authentication.Try(r.Context(), in.User, in.Password)
	out := api.AuthTested{Source: source, OK: err == nil}
	switch {
	case err == nil:
		gate.Undecided(in.User, from)
		out.Role, out.Text = role.String(), fmt.Sprintf("%s may log in with the role %s", in.User, role)
	case refusedLogin(err):
		gate.Failed(in.User, from)
		out.Text = err.Error()
	case isUnavailable(err):
		gate.Undecided(in.User, from)
		out.Text = err.Error()
	default:
		gate.Undecided(in.User, from)
		s.refuse(w, r, err)
		return
	}
	if s.opts.People.Accounts.Has(in.User) {
		out.Text += "; at a login the account of this node with that name counts instead"
	}
	note(r).after, note(r).outcome = source, out.Text
	reply(w, out)
}
