package mgmt

import (
	"context"
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// Access is how people come to the node: its certificate and its fallback page.
type Access interface {
	Certificate(ctx context.Context) (api.Certificate, error)
	SetCertificate(ctx context.Context, want api.NewCertificate) (api.Certificate, error)
	ResetCertificate(ctx context.Context) (api.Certificate, error)
	Page(ctx context.Context) (api.FallbackPage, error)
	// SetPage takes another page, "" the built-in one.
	SetPage(ctx context.Context, html string) error
}

// access is how people come to the node.
func (s *Server) access() []route {
	const read, all = accounts.Auditor, accounts.Admin
	return []route{
		{method: http.MethodGet, path: api.PathCertificate, handle: s.getCertificate, least: read},
		{method: http.MethodPut, path: api.PathCertificate, handle: s.putCertificate, least: all, action: "set the certificate", sensitive: true},
		{method: http.MethodDelete, path: api.PathCertificate, handle: s.deleteCertificate, least: all, action: "use the self-made certificate", sensitive: true},
		{method: http.MethodGet, path: api.PathFallback, handle: s.getFallback, least: read},
		{method: http.MethodPut, path: api.PathFallback, handle: s.putFallback, least: all, action: "set the fallback page"},
		{method: http.MethodDelete, path: api.PathFallback, handle: s.deleteFallback, least: all, action: "use the built-in fallback page"},
	}
}

func (s *Server) getCertificate(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Access.Certificate)
}

func (s *Server) putCertificate(w http.ResponseWriter, r *http.Request) {
	var in api.NewCertificate
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	s.changeCertificate(w, r, func(ctx context.Context) (api.Certificate, error) {
		return s.opts.Backend.Access.SetCertificate(ctx, in)
	})
}

func (s *Server) deleteCertificate(w http.ResponseWriter, r *http.Request) {
	s.changeCertificate(w, r, s.opts.Backend.Access.ResetCertificate)
}

// changeCertificate answers with the certificate as it is then; the trail tells both by
// their fingerprints.
func (s *Server) changeCertificate(w http.ResponseWriter, r *http.Request, change func(context.Context) (api.Certificate, error)) {
	if before, err := s.opts.Backend.Access.Certificate(r.Context()); err == nil {
		note(r).before = before.Fingerprint
	}
	answer(s, w, r, func(ctx context.Context) (api.Certificate, error) {
		after, err := change(ctx)
		note(r).after = after.Fingerprint
		return after, err
	})
}

func (s *Server) getFallback(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Access.Page)
}

func (s *Server) putFallback(w http.ResponseWriter, r *http.Request) {
	var in api.NewFallbackPage
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	if in.HTML == "" {
		s.refuse(w, r, &FieldsError{Fields: map[string]string{"html": "the page is empty: write one, or reset it to the built-in one"}})
		return
	}
	s.done(w, r, s.opts.Backend.Access.SetPage(r.Context(), in.HTML))
}

func (s *Server) deleteFallback(w http.ResponseWriter, r *http.Request) {
	s.done(w, r, s.opts.Backend.Access.SetPage(r.Context(), ""))
}
