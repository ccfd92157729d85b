package mgmt

import (
	"context"
	"net/http"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// System is the machine that the node runs on.
type System interface {
	System(ctx context.Context) (api.System, error)
}

// system is what the machine is.
func (s *Server) system() []route {
	return []route{{method: http.MethodGet, path: api.PathSystem, handle: s.getSystem, least: accounts.Auditor}}
}

func (s *Server) getSystem(w http.ResponseWriter, r *http.Request) {
	answer(s, w, r, s.opts.Backend.System.System)
}
