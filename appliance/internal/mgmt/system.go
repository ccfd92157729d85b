package mgmt

import (
	"context"
	"net/http"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// System is the machine that the node runs on.
type System interface {
	System(ctx context.Context) (api.System, error)
	// SetClock sets the clock; [ErrRefused] where something else keeps it.
	SetClock(ctx context.Context, text string) (api.ClockSet, error)
}

// system is what the machine is.
func (s *Server) system() []route {
	return []route{
		{method: http.MethodGet, path: api.PathSystem, handle: s.getSystem, least: accounts.Auditor},
		{method: http.MethodPost, path: api.PathClock, handle: s.postClock, least: accounts.Admin, action: "set the clock"},
	}
}

func (s *Server) getSystem(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.System.System)
}

func (s *Server) postClock(w http.ResponseWriter, r *http.Request) {
	var in api.NewClock
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	answer(s, w, r, func(ctx context.Context) (api.ClockSet, error) {
		out, err := s.opts.Backend.System.SetClock(ctx, in.Time)
		if err == nil {
			note(r).before, note(r).after = out.Before.Format(time.RFC3339), out.Now.Format(time.RFC3339)
		}
		return out, err
	})
}
