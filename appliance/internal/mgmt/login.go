package mgmt

import (
	"errors"
	"net/http"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

func (s *Server) postSession(w http.ResponseWriter, r *http.Request) {
	var in api.Login
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	people, c := s.opts.People, callerOf(r)
	note(r).user, note(r).target = in.User, in.User
	if people.Accounts.Empty() {
		fail(w, http.StatusConflict, "nobody can log in yet: set the password of the user loadbalancer on the console (lbctl passwd)")
		return
	}
	if wait := people.Gate.Wait(in.User, c.from); wait > 0 {
		tooMany(w, wait)
		return
	}
	began := time.Now()
	account, err := s.whoIs(r.Context(), in.User, in.Password)
	if err != nil {
		s.wrongPassword(w, r, in.User, err, began)
		return
	}
	if account.Source != "" {
		note(r).after = account.Role.String() + ", by " + account.Source
	}
	people.Gate.Succeeded(in.User, c.from)
	s.letIn(w, r, account)
}

// letIn begins a session. Whoever takes the account away meanwhile ends its sessions
// after that, so an account that is still the same now cannot be gone without this one.
func (s *Server) letIn(w http.ResponseWriter, r *http.Request, account accounts.Account) {
	people, c := s.opts.People, callerOf(r)
	token, session := people.Sessions.Start(account, c.from, c.agent)
	if err := people.Sessions.Confirm(token); err != nil { // the password was given this very moment
		s.refuse(w, r, err)
		return
	}
	if !s.stillKnown(account) {
		people.Sessions.End(token)
		fail(w, http.StatusUnauthorized, "the user name or the password is wrong")
		return
	}
	reply(w, api.LoggedIn{Token: token, Session: s.wire(session, session.ID)})
}

func (s *Server) getSession(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r)
	if c.token == "" {
		fail(w, http.StatusNotFound, errNoSession.Error())
		return
	}
	reply(w, s.wire(c.session, c.session.ID))
}

func (s *Server) deleteSession(w http.ResponseWriter, r *http.Request) {
	s.opts.People.Sessions.End(callerOf(r).token)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) postConfirm(w http.ResponseWriter, r *http.Request) {
	var in api.Reauth
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	people, c := s.opts.People, callerOf(r)
	if c.token == "" {
		fail(w, http.StatusConflict, errNoSession.Error())
		return
	}
	if wait := people.Gate.Wait(c.user, c.from); wait > 0 {
		tooMany(w, wait)
		return
	}
	if err := s.again(r.Context(), c, in.Password); err != nil {
		s.notConfirmed(w, r, err)
		return
	}
	people.Gate.Succeeded(c.user, c.from)
	if err := people.Sessions.Confirm(c.token); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getSessions(w http.ResponseWriter, r *http.Request) {
	c := callerOf(r)
	out := []api.Session{}
	for _, one := range s.opts.People.Sessions.List() {
		if c.role == accounts.Admin || one.User == c.user {
			out = append(out, s.wire(one, c.session.ID))
		}
	}
	reply(w, out)
}

// deleteOther ends a session: an admin any, others their own.
func (s *Server) deleteOther(w http.ResponseWriter, r *http.Request) {
	c, id := callerOf(r), r.PathValue("id")
	for _, one := range s.opts.People.Sessions.List() {
		if one.ID != id || (c.role != accounts.Admin && one.User != c.user) {
			continue
		}
		note(r).target = one.User
		if err := s.opts.People.Sessions.Revoke(id); err == nil {
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	fail(w, http.StatusNotFound, "there is no such session: it may have ended")
}

func (s *Server) wire(in accounts.Session, own string) api.Session {
	out := api.Session{
		ID: in.ID, User: in.User, Role: in.Role.String(), Source: in.Source, From: in.From.String(), Agent: in.Agent,
		Started: in.Started, Used: in.Used, Expires: in.Expires, Current: in.ID == own,
	}
	if in.Confirmed.After(s.opts.Now()) {
		out.Confirmed = new(time.Time)
		*out.Confirmed = in.Confirmed
	}
	return out
}

func (s *Server) getAccounts(w http.ResponseWriter, _ *http.Request) {
	out := []api.Account{}
	for _, a := range s.opts.People.Accounts.List() {
		out = append(out, api.Account{Name: a.Name, Role: a.Role.String(), Changed: a.Changed})
	}
	reply(w, out)
}

func (s *Server) putAccount(w http.ResponseWriter, r *http.Request) {
	var in api.NewAccount
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	role, err := accounts.ParseRole(in.Role)
	if err != nil {
		s.refuse(w, r, &FieldsError{Fields: map[string]string{"role": err.Error()}})
		return
	}
	name := r.PathValue("name")
	if err := s.opts.People.Accounts.Set(name, role, in.Password); err != nil {
		s.refuse(w, r, people(err))
		return
	}
	note(r).after = role.String()
	s.opts.People.Sessions.SetRole(name, role)
	if in.Password != "" {
		s.opts.People.Sessions.EndUser(name, callerOf(r).token)
	}
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) deleteAccount(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if err := s.opts.People.Accounts.Remove(name); err != nil {
		s.refuse(w, r, people(err))
		return
	}
	s.opts.People.Sessions.EndUser(name, "")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) putPassword(w http.ResponseWriter, r *http.Request) {
	var in api.NewPassword
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	c := callerOf(r)
	if c.token == "" {
		fail(w, http.StatusConflict, errNoSession.Error())
		return
	}
	if c.session.Source != "" {
		fail(w, http.StatusConflict, "your password is not kept here: change it where it is ("+c.session.Source+")")
		return
	}
	if wait := s.opts.People.Gate.Wait(c.user, c.from); wait > 0 {
		tooMany(w, wait)
		return
	}
	err := s.opts.People.Accounts.Change(r.Context(), c.user, in.Old, in.New)
	if errors.Is(err, accounts.ErrWrong) {
		s.opts.People.Gate.Failed(c.user, c.from)
		err = &FieldsError{Fields: map[string]string{"old": "the password is wrong"}}
	}
	if err != nil {
		s.refuse(w, r, people(err))
		return
	}
	s.opts.People.Gate.Succeeded(c.user, c.from)
	s.opts.People.Sessions.EndUser(c.user, c.token)
	w.WriteHeader(http.StatusNoContent)
}

// people turns the errors of accounts into those of a form.
func people(err error) error {
	var policy *accounts.PolicyError
	switch {
	case errors.As(err, &policy):
		return &FieldsError{Fields: map[string]string{policy.Field: policy.Error()}}
	case errors.Is(err, accounts.ErrNotFound):
		return errors.Join(ErrNotFound, err)
	case errors.Is(err, accounts.ErrLastAdmin):
		return errors.Join(ErrRefused, err)
	}
	return err
}

// auditShown bounds the entries of one answer.
const auditShown = 500

func (s *Server) getAudit(w http.ResponseWriter, r *http.Request) {
	entries, err := s.opts.People.Trail.Latest(auditShown)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	out := make([]api.AuditEntry, len(entries))
	for i, e := range entries {
		out[i] = api.AuditEntry(e)
	}
	reply(w, out)
}
