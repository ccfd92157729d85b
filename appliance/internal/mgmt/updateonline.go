package mgmt

import (
	"context"
	"net/http"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// OnlineUpdates ask an update server, and only when they are told to. What is in the way
// there is an [ErrRefused].
type OnlineUpdates interface {
	// Known is what is known without asking.
	Known(ctx context.Context) (api.OnlineUpdate, error)
	// Check asks.
	Check(ctx context.Context) (api.OnlineUpdate, error)
	// Fetch fetches a version and installs it.
	Fetch(ctx context.Context, version string) (api.Update, error)
}

// updatingOnline is the update server (guide 9.4.1).
func (s *Server) updatingOnline() []route {
	return []route{
		{method: http.MethodGet, path: api.PathUpdateOnline, handle: s.getUpdateOnline, least: accounts.Auditor},
		{method: http.MethodPost, path: api.PathUpdateOnline, handle: s.postUpdateOnline, least: accounts.Admin, action: "check for updates"},
		{method: http.MethodPost, path: api.PathUpdateOnlineInstall, handle: s.postUpdateOnlineInstall, least: accounts.Admin, action: "install a software update from the update server", sensitive: true},
	}
}

func (s *Server) getUpdateOnline(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.Online.Known)
}

func (s *Server) postUpdateOnline(w http.ResponseWriter, r *http.Request) {
	patient(w)
	answer(s, w, r, s.opts.Backend.Online.Check)
}

func (s *Server) postUpdateOnlineInstall(w http.ResponseWriter, r *http.Request) {
	var in api.OnlineInstall
	if err := decode(r, &in); err != nil {
		s.refuse(w, r, err)
		return
	}
	patient(w)
	answer(s, w, r, func(ctx context.Context) (api.Update, error) {
		out, err := s.opts.Backend.Online.Fetch(ctx, in.Version)
		if out.Restart != "" {
			note(r).before, note(r).after = out.Version, out.Restart
		}
		return out, err
	})
}

// patient lets an answer take as long as an update does. A listener that cannot keeps its
// usual bound.
func patient(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	until := time.Now().Add(updateTimeout)
	_ = control.SetReadDeadline(until) // whose end would end the call
	_ = control.SetWriteDeadline(until)
}
