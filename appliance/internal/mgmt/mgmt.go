// Package mgmt serves the management API (package api): over a unix socket, where
// the kernel vouches for the caller, and over another one for the web process (package
// front), through which people come with a session and programs with a token. It
// decides who may do what and keeps the audit trail, turns requests into calls of small
// interfaces and lb.Status into wire types and metrics; it decides nothing about
// balancing.
package mgmt

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/events"
	"github.com/vosbed/vosbed/appliance/internal/feed"
	"github.com/vosbed/vosbed/appliance/internal/tokens"
	"github.com/vosbed/vosbed/appliance/lb"
)

// StatusSource publishes the node's immutable status.
type StatusSource interface{ Status() lb.Status }

// Operator carries out what a person asks for. An error wraps [ErrNotFound] or
// [ErrRefused], or is an [*InvalidError], where that is what happened; any other
// error counts as the appliance's own failure.
type Operator interface {
	SetServer(ctx context.Context, id lb.RealID, want lb.Override) error
	// Pair obeys "takeover" or "release".
	Pair(ctx context.Context, command string) error
	Reload(ctx context.Context) error
}

// Table is the persistence table. A filter's client is a plain address: the table
// masks it as the service does.
type Table interface {
	Persistence(ctx context.Context, f Filter) ([]lb.PersistenceEntry, error)
	Clear(ctx context.Context, f Filter) (int, error)
}

// ConfigSource returns the running configuration as YAML, and its revision.
type ConfigSource interface {
	Config(ctx context.Context) (yaml []byte, revision string, err error)
}

// Graphs are the samples of the past.
type Graphs interface {
	Stats(span time.Duration) api.Stats
}

// Pairing makes and breaks the pair (guide 14.1.2).
type Pairing interface {
	LookAt(ctx context.Context, address string) (api.PeerReport, error)
	Create(ctx context.Context, user string, want api.PairCreate) error
	Join(ctx context.Context, want api.PairJoin) (api.PairJoined, error)
	Break(ctx context.Context, user string) error
}

// Backend is everything that the API needs of the appliance; all are required.
type Backend struct {
	Status   StatusSource
	Operator Operator
	Table    Table
	Config   ConfigSource
	Drafts   Drafts
	Past     Past
	Pairing  Pairing
	Graphs   Graphs
	Logs     Logs
	Support  Support
	Backups  Backups
	System   System
	Access   Access
	Updates  Updates
	Online   OnlineUpdates
	// Authentication is who may come in without an account of the node.
	Authentication Authentication
	// Events are what happened, by difference of pictures.
	Events *feed.Feed[events.Event]
	Rates  Rates
}

func (b Backend) complete() bool {
	return b.Status != nil && b.Operator != nil && b.Table != nil && b.Config != nil &&
		b.Drafts != nil && b.Past != nil && b.Pairing != nil && b.Graphs != nil && b.Logs != nil &&
		b.Support != nil && b.System != nil && b.Backups != nil && b.Access != nil && b.Events != nil && b.Authentication != nil && b.Rates != nil && b.Updates != nil && b.Online != nil
}

// Filter picks persistence entries; zero fields match everything.
type Filter struct {
	Service string
	Client  netip.Addr
	Server  string
}

// Errors of a Backend that are the caller's business.
var (
	ErrNotFound = errors.New("not found")             // answered with 404
	ErrRefused  = errors.New("refused in this state") // answered with 409
)

// InvalidError is something the operator wrote that is wrong; answered with 422.
type InvalidError struct {
	Detail string
	Errors []string // every mistake, located
}

// Error returns the detail.
func (e *InvalidError) Error() string { return e.Detail }

// Options are what a server needs from the outside.
type Options struct {
	Backend Backend
	People  People
	Logger  *slog.Logger
	// TokenFile keeps the hash of the HTTPS token, mode 0600. If it is missing a
	// token is made, and the plain text is left once in TokenFile + ".first", which
	// the next new token (lbctl token) removes. Named tokens are kept in TokenFile +
	// "s.json".
	TokenFile string
	// Pin of the HTTPS certificate, told with a new token.
	Pin func() string
	// Group lets members of that group use the unix socket too; 0 = only root and
	// the daemon's own user.
	Group int
	Now   func() time.Time // nil = time.Now
}

// Bounds of the HTTP servers.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = 15 * time.Second
	writeTimeout  = time.Minute
	idleTimeout   = time.Minute
	graceTimeout  = 2 * time.Second
	maxHeader     = 16 << 10
	maxBody       = 1 << 20
)

// Server is the management API of one node.
type Server struct {
	opts        Options
	log         *slog.Logger
	tokens      *tokens.Store
	streams     *streams
	persistence listed
	handler     http.Handler

	even time.Duration // see evenTime
	// unanswered: the directory had no answer when it was asked last.
	unanswered atomic.Bool
	asking     atomic.Int64 // the time that it took then, a time.Duration
}

// New prepares the server and reads or makes the token.
func New(opts Options) (*Server, error) {
	if !opts.Backend.complete() || !opts.People.complete() {
		return nil, errors.New("management API: the backend is incomplete")
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	t, err := tokens.Open(tokens.Options{FirstFile: opts.TokenFile, File: opts.TokenFile + "s.json", Now: opts.Now})
	if err != nil {
		return nil, err
	}
	s := &Server{opts: opts, log: opts.Logger, tokens: t, streams: newStreams(), even: evenTime}
	s.handler = s.mux()
	return s, nil
}

// ServeUnix serves a listener made by [ListenUnix] until ctx ends.
func (s *Server) ServeUnix(ctx context.Context, ln net.Listener) error {
	srv := s.http(s.vouched(onConsole(s.handler)))
	srv.ConnContext = withPeer
	return s.serve(ctx, srv, ln)
}

// ServeWeb serves a listener made by [ListenPrivate] to the web process, which runs as
// that user, until ctx ends.
func (s *Server) ServeWeb(ctx context.Context, ln net.Listener, uid int) error {
	srv := s.http(s.onlyUser(uid, s.throughWeb(s.handler)))
	srv.ConnContext = withPeer
	return s.serve(ctx, srv, ln)
}

func (s *Server) http(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           guarded(h),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
}

// serve returns when ctx has ended and no handler runs any more, or the listener failed.
func (s *Server) serve(ctx context.Context, srv *http.Server, ln net.Listener) error {
	failed := make(chan error, 1)
	srv.RegisterOnShutdown(s.streams.end)
	go func() { failed <- srv.Serve(ln) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve the management API on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		s.log.WarnContext(ctx, "management requests were cut at shutdown", "err", err)
		_ = srv.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		s.log.WarnContext(ctx, "management listener failed at shutdown", "err", err)
	}
	return nil
}

// guarded bounds every request and hardens every answer.
func guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		r = r.WithContext(r.Context()) // a copy: the server must know its own body, or it waits for one that it refused
		r.Body = http.MaxBytesReader(w, r.Body, bodyOf(r))
		next.ServeHTTP(w, r)
	})
}
