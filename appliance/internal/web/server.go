package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// Root is the path below which everything is.
const Root = "/lbadmin/"

// Options are what the pages need from the outside; all are required.
type Options struct {
	// API calls the daemon over its socket, without a token of its own.
	API     *api.Client
	Logger  *slog.Logger
	Now     func() time.Time
	Version string
}

// Server renders the pages.
type Server struct {
	opts  Options
	files files
	views views
	live  live
}

// New prepares the pages.
func New(opts Options) (*Server, error) {
	f, err := loadFiles()
	if err != nil {
		return nil, err
	}
	v, err := parseViews(f)
	if err != nil {
		return nil, err
	}
	return &Server{opts: opts, files: f, views: v}, nil
}

// maxForm bounds the body of a form in bytes, maxOpenForm one that needs no session.
const (
	maxForm     = 1 << 20
	maxOpenForm = 32 << 10
)

// Handler serves everything below Root, and leads "/" there.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, row := range s.routes() {
		mux.HandleFunc(row.method+" "+row.path, s.enter(row))
	}
	mux.Handle("GET "+Root+"static/", s.files)
	mux.HandleFunc("GET "+Root, s.enter(route{serve: (*visit).nowhere}))
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, Root, http.StatusSeeOther) })
	return hardened(http.NewCrossOriginProtection().Handler(mux))
}

// hardened bounds every request and protects every answer (ASVS 3.4).
func hardened(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
			"font-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "same-origin")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		r.Body = http.MaxBytesReader(w, r.Body, bodyOf(r))
		next.ServeHTTP(w, r)
	})
}

// bodyOf bounds the body of a request in bytes: only the files of an update are longer than
// a form.
func bodyOf(r *http.Request) int64 {
	if r.Method == http.MethodPost && r.URL.Path == offlinePath && strings.HasPrefix(r.Header.Get("Content-Type"), "multipart/form-data") {
		return api.MaxUpdate
	}
	return maxForm
}

// route is one row of the router. Every row but an open one needs a session.
type route struct {
	method, path string
	serve        func(*visit) error
	open         bool
	// background marks what a page asks by itself: it keeps no idle session alive.
	background bool
}

// visit is one request of a person.
type visit struct {
	*Server
	w       http.ResponseWriter
	r       *http.Request
	api     *api.Client // calls with the person's session
	session api.Session
	known   *api.Status // once it was asked for
}

// ctx is the request's context.
func (v *visit) ctx() context.Context { return v.r.Context() }

// form returns a field of the posted form, without the blanks around it.
func (v *visit) form(name string) string { return strings.TrimSpace(v.r.PostFormValue(name)) }

// may reports whether the person has a role, or more.
func (v *visit) may(role string) bool { return rank(v.session.Role) >= rank(role) }

func rank(role string) int {
	switch role {
	case api.RoleAdmin:
		return 3
	case api.RoleOperator:
		return 2
	case api.RoleAuditor:
		return 1
	}
	return 0
}

// enter finds the person's session and turns what a screen returns into an answer.
func (s *Server) enter(row route) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		token := tokenOf(r)
		v := &visit{Server: s, w: w, r: r, api: s.opts.API.As(token, caller(r, row.background))}
		if row.open {
			r.Body = http.MaxBytesReader(w, r.Body, maxOpenForm)
		} else {
			session, err := v.api.Session(r.Context())
			if err != nil {
				r.Body = http.NoBody // forms of strangers are not read
				v.refuse(err)
				return
			}
			v.session = session
		}
		if err := r.ParseForm(); err != nil {
			v.fail(http.StatusBadRequest, "the form cannot be read: it may be too long")
			return
		}
		if err := row.serve(v); err != nil {
			v.refuse(err)
		}
	}
}

// caller is what the daemon is told of the person's end.
func caller(r *http.Request, background bool) http.Header {
	h := http.Header{}
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		h.Set(api.HeaderFrom, host)
	}
	h.Set(api.HeaderAgent, r.UserAgent())
	if background {
		h.Set(api.HeaderBackground, "1")
	}
	return h
}

// refuse answers an error that a screen could not show itself.
func (v *visit) refuse(err error) {
	var (
		problem *api.ProblemError
		gone    *api.UnreachableError
	)
	switch {
	case errors.As(err, &problem) && problem.Problem.Status == http.StatusUnauthorized:
		v.toLogin()
	case errors.As(err, &problem) && problem.Problem.Confirm:
		v.askPassword("")
	case errors.As(err, &problem):
		v.fail(problem.Problem.Status, problem.Error())
	case errors.As(err, &gone):
		v.fail(http.StatusServiceUnavailable, "The load balancer daemon does not answer: it may be starting. Try again in a moment.")
	default:
		v.opts.Logger.ErrorContext(v.ctx(), "a page failed", "path", v.r.URL.Path, "err", err)
		v.fail(http.StatusInternalServerError, "This page could not be made: "+err.Error())
	}
}

// toLogin asks who it is, and leads back to where the person wanted to go.
func (v *visit) toLogin() {
	const ended = "Your session has ended: log in again."
	switch {
	case strings.Contains(v.r.Header.Get("Accept"), "text/event-stream"):
		http.Error(v.w, ended, http.StatusUnauthorized)
		return
	case v.r.Method != http.MethodGet:
		v.fail(http.StatusUnauthorized, ended)
		return
	}
	next := url.Values{}
	if v.r.URL.Path != Root {
		next.Set("next", v.r.URL.RequestURI())
	}
	target := Root + "login"
	if len(next) > 0 {
		target += "?" + next.Encode()
	}
	http.Redirect(v.w, v.r, target, http.StatusSeeOther)
}

// local returns next if it is a path below Root of this very server, else Root.
func local(next string) string {
	u, err := url.Parse(next)
	if err != nil || u.IsAbs() || u.Host != "" || u.User != nil || !strings.HasPrefix(u.Path, Root) ||
		strings.ContainsAny(next, "\\\r\n\t") || strings.Contains(u.Path, "..") || strings.HasPrefix(u.Path, "//") {
		return Root
	}
	return u.RequestURI()
}

// nowhere answers what no screen has the path of.
func (v *visit) nowhere() error {
	v.fail(http.StatusNotFound, "There is no such page.")
	return nil
}

// status is the node's, asked for once in a visit; only the page of a check shows the
// history of checks, which is most of it.
func (v *visit) status() (api.Status, error) {
	if v.known != nil {
		return *v.known, nil
	}
	ask := v.api.Brief
	if v.r.URL.Path == checkPath {
		ask = v.api.Status
	}
	st, err := ask(v.ctx())
	if err != nil {
		return api.Status{}, err
	}
	v.known = &st
	return st, nil
}

// goTo leads on after a change, so that a reload repeats nothing.
func (v *visit) goTo(path string) error {
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// fail shows a page that says what went wrong.
func (v *visit) fail(status int, text string) {
	if err := v.show(status, "error", "Something is in the way", text); err != nil {
		v.opts.Logger.ErrorContext(v.ctx(), "the page of an error failed", "err", err)
		http.Error(v.w, text, status)
	}
}

// page shows a screen with its data.
func (v *visit) page(screen, title string, data any) error {
	return v.show(http.StatusOK, screen, title, data)
}

// show renders a whole page: the frame and, in it, the template of the screen.
func (v *visit) show(status int, screen, title string, data any) error {
	var b bytes.Buffer
	f := v.frame(screen, title)
	f.Data = data
	if err := v.views.render(&b, screen, f); err != nil {
		return fmt.Errorf("render %s: %w", screen, err)
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	return ignoreGone(send(v.w, v.r, status, b.Bytes()))
}

// ignoreGone drops the error of a person who has gone away.
func ignoreGone(error) error { return nil }
