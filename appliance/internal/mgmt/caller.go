package mgmt

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// People are those who may call, and what is kept of it; all are required.
type People struct {
	Accounts *accounts.Store
	Sessions *accounts.Sessions
	Gate     *accounts.Gate
	Trail    *accounts.Trail
	// Directory is asked about who has no account.
	Directory Directory
}

func (p People) complete() bool {
	return p.Accounts != nil && p.Sessions != nil && p.Gate != nil && p.Trail != nil && p.Directory != nil
}

// caller is who asks, as the listener found out.
type caller struct {
	user      string
	role      accounts.Role
	known     bool // whoever it is has proved it
	console   bool // on the node itself
	from      netip.Addr
	agent     string
	token     string // of a session, "" = it is none
	session   accounts.Session
	confirmed bool   // sensitive actions are open
	program   string // text of an API token, "" = it is none
}

// where is how the audit trail tells where a call came from.
func (c caller) where() string {
	switch {
	case c.console:
		return "console"
	case !c.from.IsValid():
		return "unknown"
	}
	return c.from.String()
}

// callerKey is the context key of a request's caller.
type callerKey struct{}

func withCaller(r *http.Request, c caller) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), callerKey{}, c))
}

// callerOf never panics: a request that no listener vouched for is a stranger's.
func callerOf(r *http.Request) caller {
	c, _ := r.Context().Value(callerKey{}).(caller)
	return c
}

// onConsole vouches for who may open the daemon's own socket.
func onConsole(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		next.ServeHTTP(w, withCaller(r, caller{user: "root", role: accounts.Admin, known: true, console: true, confirmed: true}))
	})
}

// throughWeb finds out who calls through the web process: it is believed where a call
// came from and nothing else.
func (s *Server) throughWeb(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := caller{agent: r.Header.Get(api.HeaderAgent)}
		c.from, _ = netip.ParseAddr(r.Header.Get(api.HeaderFrom))
		token, sent := bearer(r)
		if !sent {
			next.ServeHTTP(w, withCaller(r, c))
			return
		}
		// Tokens have 256 random bits: no limit on guesses is needed, and one would shut
		// out who leaves a page open that goes on asking after its session has ended.
		if !s.session(&c, token, r) && !s.apiToken(&c, token) {
			s.log.DebugContext(r.Context(), "a token that is not valid", "peer", c.from)
		}
		next.ServeHTTP(w, withCaller(r, c))
	})
}

// session recognises the token of a session.
func (s *Server) session(c *caller, token string, r *http.Request) bool {
	found, err := s.opts.People.Sessions.Use(token, r.Header.Get(api.HeaderBackground) != "")
	if err != nil {
		return false
	}
	if found.Source != "" && !s.stillKnown(accounts.Account{Name: found.User, Source: found.Source, Mark: found.Mark}) {
		s.opts.People.Sessions.End(token) // who let the person in is not asked any more, or not about this one
		return false
	}
	c.user, c.role, c.known, c.token, c.session = found.User, found.Role, true, token, found
	c.confirmed = found.Confirmed.After(s.opts.Now())
	return true
}

func tooMany(w http.ResponseWriter, wait time.Duration) {
	w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
	fail(w, http.StatusTooManyRequests, "too many wrong passwords: wait, then try again")
}

func bearer(r *http.Request) (token string, sent bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

// maxOpenBody bounds what anybody may send in bytes: the rest is for those who are known.
const maxOpenBody = 8 << 10

// guard lets through who may and keeps the trail of what was changed.
func (s *Server) guard(row route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !admitted(w, r, row) {
			return
		}
		if row.open {
			r.Body = http.MaxBytesReader(w, r.Body, maxOpenBody)
		}
		if row.action == "" {
			row.handle(w, r)
			return
		}
		done := &outcome{ResponseWriter: w, text: "broke off"} // a handler may panic
		notes := &notes{}
		defer func() {
			if !row.open || done.tells() {
				s.remember(row, r, notes, cmp.Or(notes.outcome, done.text))
			}
		}()
		row.handle(done, r.WithContext(context.WithValue(r.Context(), notesKey{}, notes)))
		done.end()
	}
}

// admitted answers those who may not.
func admitted(w http.ResponseWriter, r *http.Request, row route) bool {
	c := callerOf(r)
	switch {
	case row.open:
	case !c.known:
		w.Header().Set("WWW-Authenticate", `Bearer realm="vosbed"`)
		fail(w, http.StatusUnauthorized, "a valid session or token is needed (Authorization: Bearer …): log in, or run lbctl token on the node")
		return false
	case c.role < row.least:
		fail(w, http.StatusForbidden, fmt.Sprintf("%s has the role %s: this needs the role %s", c.user, c.role, row.least))
		return false
	case row.sensitive && !c.confirmed:
		failWith(w, api.Problem{Status: http.StatusForbidden, Detail: "give your password once more for this", Confirm: true})
		return false
	}
	return true
}

// outcome notes why a call was refused.
type outcome struct {
	http.ResponseWriter
	status int
	text   string
}

// refused is called by fail.
func (o *outcome) refused(status int, why string) { o.status, o.text = status, why }

// end says that the handler has come to its end.
func (o *outcome) end() {
	if o.status == 0 && o.text == "broke off" {
		o.text = "done"
	}
}

// tells reports whether the outcome of an open call belongs into the trail: a right or a
// wrong password does. What a stranger may send as often as they like does not, or it
// would push everything else out.
func (o *outcome) tells() bool { return o.status == 0 || o.status == http.StatusUnauthorized }

// Unwrap lets http.ResponseController through.
func (o *outcome) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// notes are what a handler adds to the trail.
type notes struct {
	user, target, before, after string
	// outcome is what the trail tells instead of what the caller is told.
	outcome string
}

type notesKey struct{}

// note returns the notes of an audited call; of any other they are thrown away.
func note(r *http.Request) *notes {
	if n, ok := r.Context().Value(notesKey{}).(*notes); ok {
		return n
	}
	return &notes{}
}

func (s *Server) remember(row route, r *http.Request, n *notes, outcome string) {
	c := callerOf(r)
	e := accounts.Entry{
		At: s.opts.Now(), User: c.user, From: c.where(), Action: row.action,
		Target: n.target, Before: n.before, After: n.after, Outcome: outcome,
	}
	if e.User == "" {
		e.User = n.user
	}
	if c.session.Source != "" {
		e.User += " (" + c.session.Source + ")"
	}
	if e.Target == "" {
		e.Target = target(r)
	}
	if err := s.opts.People.Trail.Append(e); err != nil {
		s.log.ErrorContext(r.Context(), "the audit trail cannot be written", "err", err)
	}
}

// target joins what the path names.
func target(r *http.Request) string {
	var parts []string
	for _, name := range []string{"service", "server", "part", "name", "id", "number"} {
		if v := r.PathValue(name); v != "" {
			parts = append(parts, v)
		}
	}
	return strings.Join(parts, "/")
}

// errNoSession refuses what only a person who is logged in can do.
var errNoSession = errors.New("this belongs to a login: there is none here")
