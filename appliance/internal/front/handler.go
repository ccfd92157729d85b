package front

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/longbody"
)

// writeTimeout bounds one answer of the API; events stream for longer.
const writeTimeout = time.Minute

// Handler sends API calls to the daemon behind a socket and leaves the rest to the pages.
func Handler(socket string, pages Pages, log *slog.Logger) (http.Handler, error) {
	rest, err := pages(socket)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	calls := toDaemon(socket, log)
	mux.Handle("/api/", calls)
	mux.Handle(api.PathMetrics, calls)
	mux.Handle("/", rest)
	return mux, nil
}

// toDaemon passes a call on as it came, with its own token. What only this process may
// say of a caller is taken from the connection.
func toDaemon(socket string, log *slog.Logger) http.Handler {
	var d net.Dialer
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", "lbd"
			for name := range r.Out.Header {
				if strings.HasPrefix(name, "X-Vosbed-") || name == "Cookie" {
					r.Out.Header.Del(name)
				}
			}
			r.Out.Header.Set(api.HeaderFrom, host(r.In.RemoteAddr))
			r.Out.Header.Set(api.HeaderAgent, r.In.UserAgent())
		},
		Transport: &http.Transport{
			DialContext:         func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", socket) },
			MaxIdleConnsPerHost: 8,
			// Who asks first, before the body is sent, is answered by the daemon.
			ExpectContinueTimeout: headerTimeout,
			IdleConnTimeout:       30 * time.Second,
		},
		// Who has shown no token keeps no connection: strangers must not take the places
		// of those who have one.
		ModifyResponse: func(r *http.Response) error {
			if r.StatusCode == http.StatusUnauthorized || r.StatusCode == http.StatusTooManyRequests || r.Request.URL.Path == api.PathHealthz {
				r.Header.Set("Connection", "close")
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			log.WarnContext(r.Context(), "the daemon does not answer", "err", err)
			w.Header().Set("Content-Type", api.ContentProblem)
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte(`{"title":"Bad Gateway","status":502,"detail":"the load balancer daemon does not answer: it may be starting"}`))
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.PathEvents || r.URL.Path == api.PathLogStream {
			_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // nothing more is read
			proxy.ServeHTTP(&patient{w}, r)
			return
		}
		limit := writeTimeout
		if r.URL.Path == api.PathUpdate && r.Method == http.MethodPost {
			limit = updateTimeout
			r = r.WithContext(r.Context()) // a copy: the server must know its own body, or it waits for one that was refused
			r.Body = longbody.New(r.Body, http.NewResponseController(w), readTimeout, limit)
		}
		if r.URL.Path == api.PathUpdateOnlineInstall {
			if !come(w, r) {
				return
			}
			limit = updateTimeout
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(limit)) // whose end would end the call
		}
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
		proxy.ServeHTTP(w, r)
	})
}

// shortBody bounds the body of a call that takes long to be answered, in bytes.
const shortBody = 4 << 10

// come reads the body of such a call within the time of all others: strangers shall not have
// the time that it takes to fetch an update. It answers what cannot be read.
func come(w http.ResponseWriter, r *http.Request) bool {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, shortBody))
	if err != nil {
		w.Header().Set("Content-Type", api.ContentProblem)
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(`{"title":"Bad Request","status":400,"detail":"the call did not come wholly, or is too long: send the version that is to be installed"}`))
		return false
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	return true
}

// updateTimeout bounds the sending and installing of an update.
const updateTimeout = 15 * time.Minute

// patient bounds each writing of a stream, not the whole.
type patient struct{ http.ResponseWriter }

// Write gives the reader as long for this as for a whole answer.
func (p *patient) Write(b []byte) (int, error) {
	_ = http.NewResponseController(p.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout))
	return p.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController through.
func (p *patient) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func host(remote string) string {
	h, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return h
}
