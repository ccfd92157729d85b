package mgmt

import (
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/accounts"
)

// route is one row of the API. What changes something has an action, by which the
// audit trail tells of it.
type route struct {
	method, path string
	handle       http.HandlerFunc
	least        accounts.Role // that may call it
	action       string
	open         bool // to anybody
	sensitive    bool // only shortly after the password was given
}

// routes is the whole API.
func (s *Server) routes() []route {
	return slices.Concat(s.balancing(), s.configuring(), s.admitting(), s.authenticating(), s.pairing(), s.tokening(), s.supporting(), s.system(), s.keeping(), s.access(), s.telling(), s.reporting(), s.updating(), s.updatingOnline())
}

// balancing is what the node does now.
func (s *Server) balancing() []route {
	const read, run, all = accounts.Auditor, accounts.Operator, accounts.Admin
	return []route{
		{method: http.MethodGet, path: api.PathHealthz, handle: s.getHealthz, open: true},
		{method: http.MethodGet, path: api.PathStatus, handle: s.getStatus, least: read},
		{method: http.MethodGet, path: api.PathOpenAPI, handle: getOpenAPI, least: read},
		{method: http.MethodGet, path: api.PathStats, handle: s.getStats, least: read},
		{method: http.MethodGet, path: api.PathMetrics, handle: s.metrics().ServeHTTP, least: read},
		{method: http.MethodPut, path: api.PathServer, handle: s.putServer, least: run, action: "set a real server"},
		{method: http.MethodGet, path: api.PathPersistence, handle: s.getPersistence, least: read},
		{method: http.MethodDelete, path: api.PathPersistence, handle: s.deletePersistence, least: all, action: "clear persistence"},
		{method: http.MethodPost, path: api.PathPair, handle: s.postPair, least: all, action: "move the virtual addresses"},
		{method: http.MethodPost, path: api.PathReload, handle: s.postReload, least: all, action: "reload the configuration file"},
	}
}

// configuring is what the node shall do.
func (s *Server) configuring() []route {
	const read, all = accounts.Auditor, accounts.Admin
	return []route{
		{method: http.MethodGet, path: api.PathConfig, handle: s.getConfig, least: read},
		{method: http.MethodGet, path: api.PathDraft, handle: s.getDraft, least: read},
		{method: http.MethodPut, path: api.PathDraft, handle: s.putDraft, least: all, action: "restore a configuration file as draft", sensitive: true},
		{method: http.MethodDelete, path: api.PathDraft, handle: s.endDraft("discard"), least: all, action: "discard the pending changes"},
		{method: http.MethodGet, path: api.PathDraftServices, handle: s.getDraftServices, least: read},
		{method: http.MethodPost, path: api.PathDraftServices, handle: s.writeDraft(true), least: all, action: "add a virtual service"},
		{method: http.MethodGet, path: api.PathDraftService, handle: s.getDraftService, least: read},
		{method: http.MethodPut, path: api.PathDraftService, handle: s.writeDraft(false), least: all, action: "change a virtual service"},
		{method: http.MethodDelete, path: api.PathDraftService, handle: s.removeDraft, least: all, action: "remove a virtual service"},
		{method: http.MethodPost, path: api.PathDraftServers, handle: s.writeDraft(true), least: all, action: "add a real server"},
		{method: http.MethodGet, path: api.PathDraftServer, handle: s.getDraftServer, least: read},
		{method: http.MethodPut, path: api.PathDraftServer, handle: s.writeDraft(false), least: all, action: "change a real server"},
		{method: http.MethodDelete, path: api.PathDraftServer, handle: s.removeDraft, least: all, action: "remove a real server"},
		{method: http.MethodGet, path: api.PathDraftPart, handle: s.getDraftPart, least: read},
		{method: http.MethodPut, path: api.PathDraftPart, handle: s.writeDraft(false), least: all, action: "change settings"},
		{method: http.MethodPost, path: api.PathApply, handle: s.postApply, least: all, action: "apply the pending changes"},
		{method: http.MethodPost, path: api.PathKeep, handle: s.endDraft("keep"), least: all, action: "keep the configuration on trial"},
		{method: http.MethodPost, path: api.PathUndo, handle: s.endDraft("undo"), least: all, action: "go back from the configuration on trial"},
		{method: http.MethodGet, path: api.PathHistory, handle: s.getHistory, least: read},
		{method: http.MethodGet, path: api.PathRevision, handle: s.getRevision, least: read},
		{method: http.MethodPost, path: api.PathRevision, handle: s.postRevision, least: all, action: "take a former configuration as draft"},
	}
}

// admitting is who may do so.
func (s *Server) admitting() []route {
	const read, all = accounts.Auditor, accounts.Admin
	return []route{
		{method: http.MethodPost, path: api.PathSession, handle: s.postSession, open: true, action: "log in"},
		{method: http.MethodGet, path: api.PathSession, handle: s.getSession, least: read},
		{method: http.MethodDelete, path: api.PathSession, handle: s.deleteSession, least: read, action: "log out"},
		{method: http.MethodPost, path: api.PathConfirm, handle: s.postConfirm, least: read, action: "give the password again"},
		{method: http.MethodGet, path: api.PathSessions, handle: s.getSessions, least: read},
		{method: http.MethodDelete, path: api.PathRevoke, handle: s.deleteOther, least: read, action: "end a session"},
		{method: http.MethodGet, path: api.PathAccounts, handle: s.getAccounts, least: all},
		{method: http.MethodPut, path: api.PathAccount, handle: s.putAccount, least: all, action: "set an account", sensitive: true},
		{method: http.MethodDelete, path: api.PathAccount, handle: s.deleteAccount, least: all, action: "remove an account", sensitive: true},
		{method: http.MethodPut, path: api.PathPassword, handle: s.putPassword, least: read, action: "change the own password"},
		{method: http.MethodGet, path: api.PathAudit, handle: s.getAudit, least: read},
	}
}

// pairing is who the peer is.
func (s *Server) pairing() []route {
	const all = accounts.Admin
	return []route{
		{method: http.MethodPost, path: api.PathPairPeer, handle: s.postPairPeer, least: all},
		{method: http.MethodPost, path: api.PathPairCreate, handle: s.postPairCreate, least: all, action: "create a clustered pair", sensitive: true},
		{method: http.MethodPost, path: api.PathPairJoin, handle: s.postPairJoin, least: all, action: "join a clustered pair", sensitive: true},
		{method: http.MethodPost, path: api.PathPairBreak, handle: s.postPairBreak, least: all, action: "break the clustered pair", sensitive: true},
	}
}

func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	allowed := map[string][]string{}
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, s.guard(r))
		allowed[r.path] = append(allowed[r.path], r.method)
	}
	for path, methods := range allowed {
		slices.Sort(methods)
		allow := strings.Join(methods, ", ")
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Allow", allow)
			fail(w, http.StatusMethodNotAllowed, r.Method+" is not possible here: use "+allow)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "there is nothing at "+strconv.Quote(r.URL.Path))
	})
	return mux
}
