package mgmt

import (
	"math"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/vosbed/vosbed/appliance/api"
)

// route is one row of the API.
type route struct {
	method, path string
	handle       http.HandlerFunc
}

// routes is the whole API. Every row but healthz needs authentication.
func (s *Server) routes() []route {
	return []route{
		{http.MethodGet, api.PathHealthz, s.getHealthz},
		{http.MethodGet, api.PathStatus, s.getStatus},
		{http.MethodPut, api.PathServer, s.putServer},
		{http.MethodGet, api.PathPersistence, s.getPersistence},
		{http.MethodDelete, api.PathPersistence, s.deletePersistence},
		{http.MethodPost, api.PathPair, s.postPair},
		{http.MethodPost, api.PathReload, s.postReload},
		{http.MethodPost, api.PathToken, s.postToken},
		{http.MethodGet, api.PathConfig, s.getConfig},
		{http.MethodGet, api.PathMetrics, s.metrics().ServeHTTP},
	}
}

// open reports whether a path needs no authentication.
func open(path string) bool { return path == api.PathHealthz }

func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	allowed := map[string][]string{}
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, r.handle)
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

// authenticated asks for the token. Sources that failed too often wait first, so
// a guess costs time whether it is right or wrong. Who has shown no token keeps no
// connection: strangers must not take the places of those who have one.
func (s *Server) authenticated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if open(r.URL.Path) {
			w.Header().Set("Connection", "close")
			next.ServeHTTP(w, r)
			return
		}
		from := remote(r)
		if wait := s.logins.wait(from, s.opts.Now()); wait > 0 {
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
			fail(w, http.StatusTooManyRequests, "too many wrong tokens from this address: wait, then try again")
			return
		}
		token, sent := bearer(r)
		if !s.tokens.valid(token) {
			if sent {
				s.logins.failed(from, s.opts.Now())
				s.log.WarnContext(r.Context(), "management login failed", "peer", from)
			}
			w.Header().Set("Connection", "close")
			w.Header().Set("WWW-Authenticate", `Bearer realm="vosbed"`)
			fail(w, http.StatusUnauthorized, "a valid token is needed (Authorization: Bearer …): run lbctl passwd on the node to get a new one")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func bearer(r *http.Request) (token string, sent bool) {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return "", false
	}
	return strings.TrimSpace(token), true
}

func remote(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr()
}
