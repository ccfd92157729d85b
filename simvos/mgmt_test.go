package simvos_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/simvos/control"
)

// web returns an HTTP client in the client's namespace.
func (l *lab) web(t *testing.T) *http.Client {
	t.Helper()
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, addr string) (conn net.Conn, err error) {
			err = l.client.Do(func() error {
				var d net.Dialer
				conn, err = d.DialContext(ctx, network, addr)
				return err
			})
			return conn, err
		},
	}
	t.Cleanup(tr.CloseIdleConnections)
	return &http.Client{Transport: tr, Timeout: patience}
}

type answer struct {
	code   int
	server string
	body   string
}

func get(ctx context.Context, c *http.Client, method, url, body string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header.Get("X-Simvos-Server"), string(b)}, err
}

func TestManagement(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	c := l.web(t)
	for _, tt := range []struct {
		method, url, body string
		want              answer
	}{
		{"GET", "https://192.168.94.110:8443/admin/status", "", answer{200, "HT1", "Healthy"}},
		{"GET", "http://192.168.94.110:8080/admin/status", "", answer{200, "HT1", "Healthy"}},
		{"GET", "https://[fd00:94::115]:8443/admin/status", "", answer{200, "HT1", "Healthy"}},
		{"GET", "http://192.168.94.115:8080/bytes?n=5", "", answer{200, "HT1", "\x00\x00\x00\x00\x00"}},
		{"GET", "http://192.168.94.115:8080/bytes?n=-1", "", answer{400, "HT1", "n must be a number of bytes between 0 and 2^40\n"}},
		{"POST", "http://192.168.94.115:8080/sink", "twelve bytes", answer{200, "HT1", "12"}},
		{"GET", "http://192.168.94.115:8080/nothing", "", answer{404, "HT1", "404 page not found\n"}},
	} {
		got, err := get(t.Context(), c, tt.method, tt.url, tt.body)
		if err != nil || got != tt.want {
			t.Errorf("%s %s: %+v, error %v, want %+v", tt.method, tt.url, got, err, tt.want)
		}
	}
}

func TestStatusFaults(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	c := l.web(t)
	const url = "https://192.168.94.110:8443/admin/status"
	expect := func(what string, want answer) {
		t.Helper()
		got, err := get(t.Context(), c, "GET", url, "")
		if err != nil || got != want {
			t.Errorf("%s: %+v, error %v, want %+v", what, got, err, want)
		}
	}
	l.fault(t, control.Fault{Kind: control.Unhealthy})
	expect("default body", answer{200, "HT1", "Degraded"})
	l.fault(t, control.Fault{Kind: control.Unhealthy, Body: "Sick", HTTPStatus: 503})
	expect("own body", answer{503, "HT1", "Sick"})
	must(t, l.control.ClearFault(t.Context(), control.Unhealthy))
	expect("cleared", answer{200, "HT1", "Healthy"})

	l.fault(t, control.Fault{Kind: control.Slow, DelayMS: 150})
	start := time.Now()
	expect("slow", answer{200, "HT1", "Healthy"})
	if d := time.Since(start); d < 150*time.Millisecond {
		t.Errorf("a slow server answered after %s", d)
	}
	must(t, l.control.ClearFaults(t.Context()))

	l.fault(t, control.Fault{Kind: control.Hang, Service: control.ServiceHTTPS})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if got, err := get(ctx, c, "GET", url, ""); err == nil {
		t.Errorf("hang: answered %+v", got)
	}
	if got, err := get(t.Context(), c, "GET", "http://192.168.94.110:8080/admin/status", ""); err != nil || got.body != "Healthy" {
		t.Errorf("hang of https: http answered %+v, error %v", got, err)
	}
	must(t, l.control.ClearFaults(t.Context()))
	expect("hang cleared", answer{200, "HT1", "Healthy"})
}

func TestFaultRefusedByName(t *testing.T) {
	t.Parallel()
	l := newLab(t, nil)
	for _, f := range []control.Fault{{Kind: "explode"}, {Kind: control.Refuse, Service: "ftp"}, {Kind: control.Unhealthy, HTTPStatus: 7}} {
		if err := l.control.SetFault(t.Context(), f); err == nil {
			t.Errorf("%+v was accepted", f)
		}
	}
	if f, err := l.control.Faults(t.Context()); err != nil || len(f) != 0 {
		t.Errorf("faults %v, error %v, want none", f, err)
	}
}
