package mgmt

import (
	"context"
	"io"
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// Support looks at the whole node for those who help.
type Support interface {
	// Checks are the diagnostic checks as a tree.
	Checks(ctx context.Context) (api.SupportChecks, error)
	// Archive writes a .tar.gz without secrets; [ErrRefused] while another is made.
	Archive(ctx context.Context, w io.Writer) error
}

// supporting is for those who help (guide 9.3.1: Support).
func (s *Server) supporting() []route {
	return []route{
		{method: http.MethodGet, path: api.PathSupportChecks, handle: s.getSupportChecks, least: accounts.Auditor},
		{method: http.MethodGet, path: api.PathSupportArchive, handle: s.getSupportArchive, least: accounts.Admin, action: "create a support download"},
	}
}

func (s *Server) getSupportChecks(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Support.Checks)
}

// getSupportArchive sends the archive while it is made. One that breaks off lacks the end
// that gzip asks for, so nobody takes it for a whole one.
func (s *Server) getSupportArchive(w http.ResponseWriter, r *http.Request) {
	out := &late{to: w, kind: "application/gzip"}
	err := s.opts.Backend.Support.Archive(r.Context(), out)
	switch {
	case err != nil && !out.begun:
		s.refuse(w, r, err)
	case err != nil:
		if o, ok := w.(*outcome); ok {
			o.refused(0, "broke off: "+err.Error())
		}
		s.log.WarnContext(r.Context(), "a support download broke off", "err", err)
	}
}

// late begins an answer with its first byte, so that until then it can be refused.
type late struct {
	to    http.ResponseWriter
	kind  string
	begun bool
}

// Write passes on.
func (l *late) Write(p []byte) (int, error) {
	if !l.begun {
		l.begun = true
		l.to.Header().Set("Content-Type", l.kind)
	}
	return l.to.Write(p)
}
