package mgmt

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
)

func (f *fake) Certificate(context.Context) (api.Certificate, error) {
	return api.Certificate{Fingerprint: "AA", NotAfter: time.Unix(2_000_000_000, 0), Names: []string{}, Warnings: []string{}}, f.err
}

func (f *fake) SetCertificate(_ context.Context, want api.NewCertificate) (api.Certificate, error) {
	return api.Certificate{Fingerprint: "BB"}, f.note("certificate %s", want.Chain)
}

func (f *fake) ResetCertificate(context.Context) (api.Certificate, error) {
	return api.Certificate{Fingerprint: "CC"}, f.note("reset certificate")
}

func (f *fake) Page(context.Context) (api.FallbackPage, error) {
	return api.FallbackPage{HTML: "<p>", Own: true}, f.err
}

func (f *fake) SetPage(_ context.Context, html string) error { return f.note("page %q", html) }

// TestTheTrailOfACertificate tells both by their fingerprints, and never a key.
func TestTheTrailOfACertificate(t *testing.T) {
	o := newOffice(t)
	o.f.status.CertificateEnd = time.Unix(2_000_000_000, 0)
	token := o.login("loadbalancer")
	if code, p, _ := o.ask(http.MethodPut, api.PathCertificate, token, `{"chain":"CERT","key":"SECRET"}`); code != http.StatusOK {
		t.Fatalf("%d %+v", code, p)
	}
	_, _, trail := o.ask(http.MethodGet, api.PathAudit, token, "")
	if !strings.Contains(string(trail), `"before":"AA","after":"BB"`) || strings.Contains(string(trail), "SECRET") {
		t.Errorf("the trail: %s", trail)
	}
	if code, p, _ := o.ask(http.MethodPut, api.PathFallback, token, `{"html":""}`); code != http.StatusUnprocessableEntity || p.Fields["html"] == "" {
		t.Errorf("an empty page: %d %+v", code, p)
	}
	if _, _, body := o.ask(http.MethodGet, api.PathMetrics, token, ""); !strings.Contains(string(body), "\nvosbed_certificate_expiry_timestamp_seconds 2e+09\n") {
		t.Error("no metric tells when the certificate ends")
	}
}
