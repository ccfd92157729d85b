package front

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

// strictFor is how long browsers remember that there is HTTPS only: half a year.
const strictFor = "max-age=15552000"

// strict sends HSTS with every answer (RFC 6797).
func strict(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", strictFor)
		next.ServeHTTP(w, r)
	})
}

// toHTTPS leads a browser from plain HTTP to the WebUI. Nothing else is served here: a
// password or a session that went over plain HTTP could be read by anybody on the way
// (decision 0010). What is not a question for a page is refused, so that no program
// sends its token here and finds that it works.
func toHTTPS(doors []door) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Cache-Control", "no-store")
		h.Set("Connection", "close")
		if (r.Method != http.MethodGet && r.Method != http.MethodHead) || strings.HasPrefix(r.URL.Path, "/api/") {
			http.Error(w, "there is nothing over plain HTTP here: use https", http.StatusForbidden)
			return
		}
		local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
		at := httpsAt(doors, local)
		if !at.IsValid() {
			http.Error(w, "the WebUI is not served over HTTPS", http.StatusNotFound)
			return
		}
		host := hostOnly(r.Host)
		if host == "" {
			host = at.Addr().String()
		}
		to := url.URL{Scheme: "https", Host: net.JoinHostPort(host, strconv.Itoa(int(at.Port()))), Path: "/lbadmin/"}
		http.Redirect(w, r, to.String(), http.StatusFound)
	})
}

// httpsAt is the HTTPS listener at the address that the browser came to, or else the
// first.
func httpsAt(doors []door, local net.Addr) netip.AddrPort {
	var first netip.AddrPort
	here, _ := local.(*net.TCPAddr)
	for _, d := range doors {
		if d.Kind != kindHTTPS {
			continue
		}
		if here != nil && here.AddrPort().Addr().Unmap() == d.Addr.Addr() {
			return d.Addr
		}
		if !first.IsValid() {
			first = d.Addr
		}
	}
	return first
}

// hostOnly is the name or address of a Host header without its port, "" if it is none.
func hostOnly(header string) string {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	odd := func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.'
	}
	if len(host) > 253 || strings.ContainsFunc(host, odd) {
		return ""
	}
	return host
}
