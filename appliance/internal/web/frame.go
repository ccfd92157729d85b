package web

import (
	"errors"
	"net/http"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// frame is what every page has around its screen. Templates reach a screen's own data
// as .Data.
type frame struct {
	Screen, Title string
	Version       string
	Session       api.Session
	Status        *api.Status // nil = nobody is logged in, or the daemon did not say
	Draft         *api.Draft  // nil = nothing is pending
	Now           time.Time
	Files         files
	Data          any
	// News is a newer version of the software, nil = none is known (guide 9.4.1).
	News *api.AvailableUpdate
	// Path is the present page's; Back is the page that forms lead back to, which differs
	// where the present one only answers a form.
	Path, Back string
	// Proxied are the layer-7 services, while something is pending.
	Proxied []string
}

// Admin and Operator say what the person may do.
func (f frame) Admin() bool    { return rank(f.Session.Role) >= rank(api.RoleAdmin) }
func (f frame) Operator() bool { return rank(f.Session.Role) >= rank(api.RoleOperator) }

// placed is the data of a page that belongs to a screen of the menu by another name than
// its template's.
type placed interface{ under() string }

// Menu is the menu as the person sees it, open at the present page.
func (f frame) Menu() []menuGroup {
	if f.Session.User == "" {
		return nil
	}
	if p, ok := f.Data.(placed); ok {
		return menuFor(f.Session.Role, p.under())
	}
	return menuFor(f.Session.Role, f.Screen)
}

// Alone reports whether the node has no peer.
func (f frame) Alone() bool { return f.Status == nil || f.Status.Role == "standalone" }

// frame gathers it. What cannot be had is left out: the screen matters more.
func (v *visit) frame(screen, title string) frame {
	f := frame{
		Screen: screen, Title: title, Version: v.opts.Version, Session: v.session,
		Now: v.opts.Now().UTC(), Files: v.files, Path: v.r.URL.RequestURI(),
	}
	f.Back = v.backTo(local(or(v.form("back"), f.Path)))
	if v.session.User == "" {
		return f
	}
	if st, err := v.status(); err == nil {
		f.Status = &st
	}
	v.pending(&f)
	v.news(&f)
	return f
}

// news adds what is to be known of updates; their own pages tell it themselves.
func (v *visit) news(f *frame) {
	if f.Screen == "update" || f.Screen == "online" {
		return
	}
	if known, err := v.api.OnlineUpdate(v.ctx()); err == nil {
		f.News = known.Available
	}
}

// pending adds the pending changes, if there are any, or what is to be known of others.
func (v *visit) pending(f *frame) {
	if d, err := v.api.Draft(v.ctx()); err == nil && (len(d.Changes) > 0 || d.Trial != nil || d.Overtaken != "") {
		f.Draft = &d
		f.Proxied = v.proxiedServices(f.Status)
	}
}

// Drawn reports whether the page has graphs.
func (f frame) Drawn() bool {
	d, ok := f.Data.(interface{ drawn() bool })
	return ok && d.drawn()
}

// cookieName: the prefix makes browsers insist on https, this host and the whole path
// (RFC 6265bis 4.1.3.2).
const cookieName = "__Host-vosbed"

func tokenOf(r *http.Request) string {
	c, err := r.Cookie(cookieName)
	if err != nil {
		return ""
	}
	return c.Value
}

// setToken keeps a session's token in the browser until it closes; "" removes it.
func setToken(w http.ResponseWriter, token string) {
	c := &http.Cookie{Name: cookieName, Value: token, Path: "/", Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode}
	if token == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

// formError is what a form shows after it was refused: the person's input is kept.
type formError struct {
	Status  int               // of the answer that refused it, 0 = nothing was refused
	Fields  map[string]string // message by field
	General []string
}

// fieldErrors turns a refusal of the API into what a form can show. ok is false for an
// error that belongs to no form.
func fieldErrors(err error) (out formError, ok bool) {
	problem, is := errors.AsType[*api.ProblemError](err)
	if !is {
		return out, false
	}
	p := problem.Problem
	out.Status = p.Status
	switch {
	case p.Confirm || p.Status == http.StatusUnauthorized:
		return out, false
	case p.Status == http.StatusUnprocessableEntity && len(p.Fields) > 0:
		out.Fields = p.Fields
	case p.Status == http.StatusUnprocessableEntity, p.Status == http.StatusConflict, p.Status == http.StatusNotFound,
		p.Status == http.StatusForbidden, p.Status == http.StatusTooManyRequests, p.Status == http.StatusRequestEntityTooLarge, p.Status == http.StatusBadRequest:
		out.General = append([]string{p.Detail}, p.Errors...)
	default:
		return out, false
	}
	return out, true
}

// asProblem is the problem document in an error, if it holds one.
func asProblem(err error) (api.Problem, bool) {
	p, ok := errors.AsType[*api.ProblemError](err)
	if !ok {
		return api.Problem{}, false
	}
	return p.Problem, true
}
