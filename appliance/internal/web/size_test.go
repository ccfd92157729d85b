package web_test

import (
	"compress/gzip"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/web"
)

// crowd puts down a deployment of n services with m servers each.
func crowd(lb *fakeLB, n, m int) {
	st := many(n, m)
	lb.answer("GET "+api.PathStatus, st)
	lb.answer("GET "+api.PathStats, wave())
	var drafts []api.ServiceDraft
	for i, svc := range st.Services {
		layer := []string{"4", "7"}[i%2]
		one := api.ServiceDraft{Tag: "t1", CheckURL: "https://" + svc.Addr + ":8443/admin/status", Fields: api.Fields{
			"name": svc.Name, "address": svc.Addr, "ports": svc.Ports, "protocol": "tcp", "layer": layer, "check.type": "negotiate", "check.protocol": "https",
		}}
		for _, r := range svc.Servers {
			one.Servers = append(one.Servers, api.ServerDraft{Fields: api.Fields{"name": r.Name, "address": r.Addr, "weight": "100"}})
		}
		drafts = append(drafts, one)
	}
	lb.answer("GET "+api.PathDraftServices, drafts)
	var entries []api.Entry
	for i := range 10000 {
		entries = append(entries, api.Entry{Service: "VIP_001", Client: fmt.Sprintf("10.%d.%d.%d", i%7, i/250, i%250), Server: "R001_1", IdleMS: float64(i * 7919 % 60000)})
	}
	lb.answer("GET "+api.PathPersistence, entries)
}

// accepting gets a page as a browser that takes such encodings.
func (d *desk) accepting(path, encodings string) *httptest.ResponseRecorder {
	d.t.Helper()
	r := httptest.NewRequestWithContext(d.t.Context(), http.MethodGet, "https://lb1:9443"+path, http.NoBody)
	r.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: d.role})
	r.Header.Set("Accept-Encoding", encodings)
	w := httptest.NewRecorder()
	d.http.ServeHTTP(w, r)
	return w
}

// TestPagesAreSmall holds every page below 100 kB as it is sent, with 100 VIPs x 10 RIPs.
func TestPagesAreSmall(t *testing.T) {
	const most = 100 << 10
	d := sit(t, api.RoleAdmin)
	crowd(d.lb, 100, 10)
	unfolded := url.Values{}
	for i := range 100 {
		unfolded.Add("open", fmt.Sprintf("VIP_%03d", i))
	}
	for _, path := range []string{"", "?" + unfolded.Encode(), "l4-services", "l7-services", "l4-servers", "l7-servers", "persistence"} {
		w := d.accepting("/lbadmin/"+path, "br;q=1.0, gzip;q=0.8")
		if encoding := w.Header().Get("Content-Encoding"); w.Code != http.StatusOK || encoding != "gzip" || w.Body.Len() > most {
			t.Errorf("%.40q: status %d, %q, %d bytes, want at most %d", path, w.Code, encoding, w.Body.Len(), most)
		}
	}
}

func TestCompressedOnlyIfWanted(t *testing.T) {
	d := sit(t, api.RoleAuditor)
	d.lb.answer("GET "+api.PathStatus, guideStatus())
	plain := d.open("/lbadmin/").Body
	for accept, want := range map[string]bool{"gzip": true, "deflate, GZIP": true, "gzip;q=0": false, "identity": false, "gzip; q=0.5": true, "gzip;q=x": false} {
		w := d.accepting("/lbadmin/", accept)
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%q: compressed %v, want %v", accept, got, want)
		}
		if !want {
			continue
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(z); err != nil || string(body) != plain {
			t.Errorf("%q: another page came out: %v", accept, err)
		}
	}
}

// BenchmarkOverview is the whole of a page with 100 VIPs x 10 RIPs, calls to the daemon
// included: it shall stay below 100 ms.
func BenchmarkOverview(b *testing.B) {
	lb := &fakeLB{answers: deployment()}
	crowd(lb, 100, 10)
	benchmarkPage(b, lb, "/lbadmin/")
}

// benchmarkPage is the work of a page, as the daemon of the test answers.
func benchmarkPage(b *testing.B, lb *fakeLB, path string) {
	b.Helper()
	at := filepath.Join(b.TempDir(), "s")
	ln, err := new(net.ListenConfig).Listen(b.Context(), "unix", at)
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: lb, ReadHeaderTimeout: time.Second}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { _ = srv.Close() })
	pages, err := web.New(web.Options{API: api.NewUnix(at), Logger: slog.New(slog.DiscardHandler), Now: noon})
	if err != nil {
		b.Fatal(err)
	}
	handler := pages.Handler()
	for b.Loop() {
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "https://lb1:9443"+path, http.NoBody)
		r.AddCookie(&http.Cookie{Name: "__Host-vosbed", Value: api.RoleAdmin})
		r.Header.Set("Accept-Encoding", "gzip")
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
