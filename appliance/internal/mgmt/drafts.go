package mgmt

import (
	"context"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

// Place names one object of the pending configuration: a service, a real server of it,
// or a part (node or cluster).
type Place struct{ Service, Server, Part string }

// By says who changes the draft, and which draft they saw ("" = whatever it is).
type By struct{ User, Tag string }

// Drafts is the pending configuration. Errors as those of [Operator]; a mistake in what
// was sent is a [*FieldsError], a draft that has changed meanwhile an [ErrRefused].
type Drafts interface {
	Draft(ctx context.Context) (api.Draft, error)
	// Read returns the object: of a service with its servers.
	Read(ctx context.Context, at Place) (api.ServiceDraft, error)
	Services(ctx context.Context) ([]api.ServiceDraft, error)
	// Write changes the fields that are given; add makes the object, fields = nil
	// removes it.
	Write(ctx context.Context, by By, at Place, fields api.Fields, add bool) error
	// Restore makes the draft equal to a configuration file.
	Restore(ctx context.Context, by By, yaml []byte) error
	// Apply puts the draft in force; within > 0 = on trial for so long.
	Apply(ctx context.Context, by By, within time.Duration) error
	// End obeys "discard", "keep" and "undo".
	End(ctx context.Context, by By, verb string) error
}

// Past is what was in force.
type Past interface {
	History(ctx context.Context) ([]api.Revision, error)
	Revision(ctx context.Context, number int) (yaml []byte, err error)
	Revert(ctx context.Context, by By, number int) error
}

// FieldsError is a mistake in what a form sent, by its keys; answered with 422.
type FieldsError struct{ Fields map[string]string }

// Error lists them, sorted.
func (e *FieldsError) Error() string {
	var lines []string
	for key, text := range e.Fields {
		lines = append(lines, key+": "+text)
	}
	sort.Strings(lines)
	return strings.Join(lines, "\n")
}

func placeOf(r *http.Request) Place {
	return Place{r.PathValue("service"), r.PathValue("server"), r.PathValue("part")}
}

func byOf(r *http.Request) By {
	return By{callerOf(r).user, strings.Trim(r.Header.Get("If-Match"), `"`)}
}

// done answers a change.
func (s *Server) done(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// answer answers a question.
func answer[T any](s *Server, w http.ResponseWriter, r *http.Request, ask func(context.Context) (T, error)) {
	out, err := ask(r.Context())
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	reply(w, out)
}

func (s *Server) getDraft(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Drafts.Draft)
}

func (s *Server) getDraftServices(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Drafts.Services)
}

func (s *Server) getDraftService(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, func(ctx context.Context) (api.ServiceDraft, error) {
		return s.opts.Backend.Drafts.Read(ctx, placeOf(r))
	})
}

func (s *Server) getDraftServer(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, func(ctx context.Context) (api.ServerDraft, error) {
		d, err := s.opts.Backend.Drafts.Read(ctx, placeOf(r))
		return api.ServerDraft{Tag: d.Tag, Fields: d.Fields}, err
	})
}

func (s *Server) getDraftPart(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, func(ctx context.Context) (api.PartDraft, error) {
		d, err := s.opts.Backend.Drafts.Read(ctx, placeOf(r))
		return api.PartDraft{Tag: d.Tag, Fields: d.Fields}, err
	})
}

// writeDraft changes the fields of an object, or makes it.
func (s *Server) writeDraft(add bool) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var fields api.Fields
		if err := decode(r, &fields); err != nil {
			s.refuse(w, r, err)
			return
		}
		if fields == nil {
			s.refuse(w, r, &formatError{http.StatusBadRequest, "the body must be an object of settings as text"})
			return
		}
		if opensDoor(r.PathValue("part"), fields) && !callerOf(r).confirmed {
			failWith(w, api.Problem{Status: http.StatusForbidden, Detail: "give your password once more to change who may log in", Confirm: true})
			return
		}
		note(r).after = settingsText(fields)
		if add {
			note(r).target = strings.TrimPrefix(r.PathValue("service")+"/"+fields["name"], "/")
		}
		s.done(w, r, s.opts.Backend.Drafts.Write(r.Context(), byOf(r), placeOf(r), fields, add))
	}
}

// settingsText is what was set, for the trail; no secret is a setting, and what looks like
// one is left out all the same.
func settingsText(fields api.Fields) string {
	var out []string
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		if strings.HasSuffix(key, "secret") || strings.Contains(key, "password") {
			continue
		}
		out = append(out, key+"="+fields[key])
	}
	return strings.Join(out, " ")
}

// putDraft takes a whole configuration file.
func (s *Server) putDraft(w http.ResponseWriter, r *http.Request) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/yaml" {
		s.refuse(w, r, &formatError{http.StatusUnsupportedMediaType, "the body must be a configuration file (Content-Type: application/yaml)"})
		return
	}
	data, err := readBody(r)
	if err == nil {
		err = s.opts.Backend.Drafts.Restore(r.Context(), byOf(r), data)
	}
	s.done(w, r, err)
}

func (s *Server) removeDraft(w http.ResponseWriter, r *http.Request) {
	s.done(w, r, s.opts.Backend.Drafts.Write(r.Context(), byOf(r), placeOf(r), nil, false))
}

func (s *Server) endDraft(verb string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s.done(w, r, s.opts.Backend.Drafts.End(r.Context(), byOf(r), verb))
	}
}

// Bounds of a trial: shorter than a page needs to come back, or longer than anybody
// waits, is a slip of the pen.
const (
	leastTrial = 5 * time.Second
	mostTrial  = time.Hour
)

func (s *Server) postApply(w http.ResponseWriter, r *http.Request) {
	var in api.Apply
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	var within time.Duration
	if in.Within != "" {
		d, err := time.ParseDuration(in.Within)
		if err != nil || d < leastTrial || d > mostTrial {
			s.refuse(w, r, &FieldsError{Fields: map[string]string{"within": fmt.Sprintf("%q: write a time from %v to %v such as 60s", in.Within, leastTrial, mostTrial)}})
			return
		}
		within = d
	}
	s.noteChanges(r)
	s.done(w, r, s.opts.Backend.Drafts.Apply(r.Context(), byOf(r), within))
}

// noteChanges puts into the trail what is about to take effect.
func (s *Server) noteChanges(r *http.Request) {
	d, err := s.opts.Backend.Drafts.Draft(r.Context())
	if err != nil {
		return
	}
	var texts []string
	for _, c := range d.Changes {
		texts = append(texts, c.Text)
	}
	note(r).before, note(r).after = d.Base, strings.Join(texts, "; ")
}

func (s *Server) getHistory(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Past.History)
}

func (s *Server) getRevision(w http.ResponseWriter, r *http.Request) {
	number, err := numberOf(r)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	yaml, err := s.opts.Backend.Past.Revision(r.Context(), number)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(yaml)
}

func (s *Server) postRevision(w http.ResponseWriter, r *http.Request) {
	number, err := numberOf(r)
	if err == nil {
		err = s.opts.Backend.Past.Revert(r.Context(), byOf(r), number)
	}
	s.done(w, r, err)
}

func numberOf(r *http.Request) (int, error) {
	n, err := strconv.Atoi(r.PathValue("number"))
	if err != nil {
		return 0, fmt.Errorf("%w: revision %q is not a number", ErrNotFound, r.PathValue("number"))
	}
	return n, nil
}
