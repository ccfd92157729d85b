package mgmt

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/buildinfo"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

func (s *Server) getHealthz(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string]string{"status": "ok"})
}

// getOpenAPI answers the description of this API.
func getOpenAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(api.OpenAPI)
}

func (s *Server) getStatus(w http.ResponseWriter, r *http.Request) {
	st := StatusOf(s.opts.Backend.Status.Status())
	st.Version = buildinfo.Get().Version
	if r.URL.Query().Get("history") == "0" {
		for _, svc := range st.Services {
			for i := range svc.Servers {
				svc.Servers[i].History = nil
			}
		}
	}
	reply(w, st)
}

// Bounds of a graph.
const (
	usualSpan = 24 * time.Hour
	mostSpan  = 8760 * time.Hour
)

func (s *Server) getStats(w http.ResponseWriter, r *http.Request) {
	span, err := spanOf(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	reply(w, s.opts.Backend.Graphs.Stats(span))
}

// spanOf is the time that a query asks for.
func spanOf(r *http.Request) (time.Duration, error) {
	text := r.URL.Query().Get("range")
	if text == "" {
		return usualSpan, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Minute || d > mostSpan {
		return 0, &formatError{http.StatusBadRequest, fmt.Sprintf("query: range %q: write a time from 1m to 8760h", text)}
	}
	return d, nil
}

func (s *Server) postPairPeer(w http.ResponseWriter, r *http.Request) {
	var in api.PeerQuestion
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	answer(s, w, r, func(ctx context.Context) (api.PeerReport, error) {
		return s.opts.Backend.Pairing.LookAt(ctx, in.Address)
	})
}

func (s *Server) postPairCreate(w http.ResponseWriter, r *http.Request) {
	var in api.PairCreate
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	note(r).target = in.Address
	s.done(w, r, s.opts.Backend.Pairing.Create(r.Context(), callerOf(r).user, in))
}

func (s *Server) postPairJoin(w http.ResponseWriter, r *http.Request) {
	var in api.PairJoin
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	note(r).target = in.Primary
	answer(s, w, r, func(ctx context.Context) (api.PairJoined, error) {
		return s.opts.Backend.Pairing.Join(ctx, in)
	})
}

func (s *Server) postPairBreak(w http.ResponseWriter, r *http.Request) {
	s.done(w, r, s.opts.Backend.Pairing.Break(r.Context(), callerOf(r).user))
}

func (s *Server) putServer(w http.ResponseWriter, r *http.Request) {
	var want api.ServerState
	if err := decode(r, &want); err != nil {
		s.refuse(w, r, err)
		return
	}
	over, err := override(want, s.opts.Now())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	note(r).after = strings.TrimSpace(want.State + " " + want.Deadline)
	id := lb.RealID{Service: r.PathValue("service"), Real: r.PathValue("server")}
	if err := known(s.opts.Backend.Status.Status(), id); err != nil {
		s.refuse(w, r, err)
		return
	}
	if err := s.opts.Backend.Operator.SetServer(r.Context(), id, over); err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// maxDeadline bounds a drain: longer is a forgotten server.
const maxDeadline = 7 * 24 * time.Hour

// override checks what was asked for.
func override(want api.ServerState, now time.Time) (lb.Override, error) {
	state, err := lb.ParseAdminState(want.State)
	if err != nil {
		return lb.Override{}, &InvalidError{Detail: err.Error()}
	}
	if want.Deadline == "" {
		return lb.Override{State: state}, nil
	}
	d, err := time.ParseDuration(want.Deadline)
	switch {
	case err != nil || d <= 0 || d > maxDeadline:
		return lb.Override{}, &InvalidError{Detail: fmt.Sprintf("deadline %q: write a time up to %s such as 90s, 5m or 2h", want.Deadline, "168h")}
	case state != lb.Drain:
		return lb.Override{}, &InvalidError{Detail: fmt.Sprintf("a deadline belongs to drain: %s takes effect at once", state)}
	}
	return lb.Override{State: state, Deadline: now.Add(d)}, nil
}

// known refuses a server that is not there and names those that are.
func known(st lb.Status, id lb.RealID) error {
	services := names(st.Services, func(s lb.ServiceStatus) string { return s.Name })
	at := slices.Index(services, id.Service)
	if at < 0 {
		return &unknownError{fmt.Sprintf("there is no service %q", id.Service), id.Service, services}
	}
	servers := names(st.Services[at].Reals, func(r lb.RealStatus) string { return r.Name })
	if !slices.Contains(servers, id.Real) {
		return &unknownError{fmt.Sprintf("service %q has no server %q", id.Service, id.Real), id.Real, servers}
	}
	return nil
}

func (s *Server) filter(r *http.Request) (Filter, error) {
	f, err := parseFilter(r.URL.RawQuery)
	if err != nil {
		return f, err
	}
	return f, knownFilter(s.opts.Backend.Status.Status(), f)
}

// knownFilter refuses to list or clear for a name that is not there: "0 entries" would
// hide a slip of the pen.
func knownFilter(st lb.Status, f Filter) error {
	services := names(st.Services, func(s lb.ServiceStatus) string { return s.Name })
	if f.Service != "" && !slices.Contains(services, f.Service) {
		return &unknownError{fmt.Sprintf("there is no service %q", f.Service), f.Service, services}
	}
	var servers []string
	for _, svc := range st.Services {
		if f.Service == "" || f.Service == svc.Name {
			servers = append(servers, names(svc.Reals, func(r lb.RealStatus) string { return r.Name })...)
		}
	}
	if f.Server != "" && !slices.Contains(servers, f.Server) {
		return &unknownError{fmt.Sprintf("there is no server %q", f.Server), f.Server, servers}
	}
	return nil
}

func names[T any](in []T, name func(T) string) []string {
	out := make([]string, len(in))
	for i, v := range in {
		out[i] = name(v)
	}
	return out
}

// unknownError is a name that is not there, with those that are.
type unknownError struct {
	what, name string
	there      []string
}

// Error suggests what was probably meant.
func (e *unknownError) Error() string {
	switch near := strictyaml.Nearest(e.name, e.there); {
	case near != "":
		return fmt.Sprintf("%s: did you mean %q?", e.what, near)
	case len(e.there) == 0:
		return e.what + ": there are none"
	}
	return fmt.Sprintf("%s: there is %s", e.what, strings.Join(e.there, ", "))
}

// Unwrap makes it count as not found.
func (e *unknownError) Unwrap() error { return ErrNotFound }

func (s *Server) getPersistence(w http.ResponseWriter, r *http.Request) {
	f, err := s.filter(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	entries, err := s.opts.Backend.Table.Persistence(r.Context(), f)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	reply(w, entriesOf(entries))
}

func (s *Server) deletePersistence(w http.ResponseWriter, r *http.Request) {
	f, err := s.filter(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	n, err := s.opts.Backend.Table.Clear(r.Context(), f)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "operator cleared persistence", "entries", n)
	reply(w, api.Cleared{Entries: n})
}

func entriesOf(in []lb.PersistenceEntry) []api.Entry {
	in = slices.Clone(in)
	slices.SortFunc(in, func(a, b lb.PersistenceEntry) int {
		return cmp.Or(cmp.Compare(a.Service, b.Service), a.Client.Compare(b.Client))
	})
	out := make([]api.Entry, len(in))
	for i, e := range in {
		out[i] = api.Entry{Service: e.Service, Client: e.Client.String(), Server: e.Server, IdleMS: ms(e.Idle)}
	}
	return out
}

func (s *Server) postPair(w http.ResponseWriter, r *http.Request) {
	var cmd api.PairCommand
	err := decode(r, &cmd)
	if err == nil && cmd.Command != "takeover" && cmd.Command != "release" {
		err = &InvalidError{Detail: fmt.Sprintf("unknown pair command %q: use takeover or release", cmd.Command)}
	}
	if err == nil {
		err = s.opts.Backend.Operator.Pair(r.Context(), cmd.Command)
	}
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "operator pair command", "command", cmd.Command)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) postReload(w http.ResponseWriter, r *http.Request) {
	if err := s.opts.Backend.Operator.Reload(r.Context()); err != nil {
		s.refuse(w, r, err)
		return
	}
	s.log.InfoContext(r.Context(), "operator reloaded the configuration")
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) getConfig(w http.ResponseWriter, r *http.Request) {
	yaml, revision, err := s.opts.Backend.Config.Config(r.Context())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	w.Header().Set("ETag", `"`+revision+`"`)
	_, _ = w.Write(yaml)
}

// reply writes a JSON answer; the client's end of a broken connection knows.
func reply(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// fail writes a problem document.
func fail(w http.ResponseWriter, status int, detail string, errs ...string) {
	failWith(w, api.Problem{Status: status, Detail: detail, Errors: errs})
}

func failWith(w http.ResponseWriter, p api.Problem) {
	if o, ok := w.(*outcome); ok {
		o.refused(p.Status, p.Detail)
	}
	p.Title = http.StatusText(p.Status)
	w.Header().Set("Content-Type", api.ContentProblem)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}

// refuse answers with the status that the error means.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var (
		invalid *InvalidError
		fields  *FieldsError
		format  *formatError
	)
	switch {
	case errors.As(err, &fields):
		failWith(w, api.Problem{Status: http.StatusUnprocessableEntity, Detail: "some settings are not right", Fields: fields.Fields})
	case errors.As(err, &invalid):
		fail(w, http.StatusUnprocessableEntity, invalid.Detail, invalid.Errors...)
	case errors.As(err, &format):
		fail(w, format.status, format.detail)
	case errors.Is(err, accounts.ErrBusy):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, err.Error())
	case errors.Is(err, ErrNotFound):
		fail(w, http.StatusNotFound, err.Error())
	case errors.Is(err, ErrRefused):
		fail(w, http.StatusConflict, err.Error())
	default:
		s.log.ErrorContext(r.Context(), "management request failed", "method", r.Method, "path", r.URL.Path, "err", err)
		fail(w, http.StatusInternalServerError, err.Error())
	}
}
