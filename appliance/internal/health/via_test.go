package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestThroughVIP(t *testing.T) {
	t.Parallel()
	addr := tlsServer(t, certificate(t, time.Now().Add(time.Hour)), body("Healthy"))
	p := guideProbe(addr)
	p.VIP, p.Check.ThroughVIP, p.Served = netip.MustParseAddr("192.0.2.110"), true, true

	if v := newProber(Options{}).check(t.Context(), p); !v.OK || v.ViaVIP {
		t.Fatalf("without a way through the VIP: %+v", v)
	}
	var asked string
	via := func(ctx context.Context, vip, rip netip.Addr, port uint16) (net.Conn, error) {
		asked = fmt.Sprintf("%s on %s port %d", vip, rip, port)
		return (&net.Dialer{}).DialContext(ctx, "tcp", netip.AddrPortFrom(rip, port).String())
	}
	v := newProber(Options{DialVIA: via}).check(t.Context(), p)
	if want := fmt.Sprintf("192.0.2.110 on 127.0.0.1 port %d", addr.Port()); !v.OK || !v.ViaVIP || asked != want {
		t.Fatalf("asked %q, want %q: %+v", asked, want, v)
	}
	p.Check.Timeout = patience
	lost := func(ctx context.Context, _, _ netip.Addr, _ uint16) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	v = newProber(Options{DialVIA: lost}).check(t.Context(), p)
	if want := "127.0.0.1 answers on its own address but not as the VIP 192.0.2.110"; v.OK || !strings.HasPrefix(v.Failed, want) {
		t.Fatalf("got %q, want %q…", v.Failed, want)
	}
}

// A port that no client uses by the VIP only proves that the VIP is there.
func TestThroughVIPOnAnotherPort(t *testing.T) {
	t.Parallel()
	addr := tlsServer(t, certificate(t, time.Now().Add(time.Hour)), body("Healthy"))
	for name, c := range map[string]struct {
		served bool
		err    error
		ok     bool
		via    bool
	}{
		"another port, refused":  {false, syscall.ECONNREFUSED, true, true},
		"another port, silence":  {false, context.DeadlineExceeded, false, true},
		"own port, refused":      {true, syscall.ECONNREFUSED, false, true},
		"not possible":           {false, errors.ErrUnsupported, true, false},
		"own port, not possible": {true, errors.ErrUnsupported, true, false},
		"not resolved":           {true, errors.New("RIP 127.0.0.1 is not resolved"), false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := guideProbe(addr)
			p.VIP, p.Check.ThroughVIP, p.Served = netip.MustParseAddr("192.0.2.110"), true, c.served
			via := func(context.Context, netip.Addr, netip.Addr, uint16) (net.Conn, error) {
				return nil, fmt.Errorf("dial: %w", c.err)
			}
			v := newProber(Options{DialVIA: via}).check(t.Context(), p)
			if v.OK != c.ok || v.ViaVIP != c.via || c.ok && v.Body != "Healthy" || !c.ok && !strings.Contains(v.Failed, "guide 8.2") {
				t.Errorf("got %+v", v)
			}
		})
	}
}
