package demo

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"regexp"
	"testing"
)

func TestOnlyLoopback(t *testing.T) {
	for _, at := range []string{"192.168.94.10:0", "0.0.0.0:0", "[::]:0"} {
		if ln, err := Listen(t.Context(), netip.MustParseAddrPort(at)); err == nil {
			t.Errorf("%s was opened", at)
			_ = ln.Close()
		}
	}
}

func TestPasswordsAreNew(t *testing.T) {
	seen := map[string]bool{}
	for range 100 {
		p := Password()
		if seen[p] || !regexp.MustCompile(`^[A-Z2-7]{4}-[A-Z2-7]{4}-[A-Z2-7]{4}$`).MatchString(p) {
			t.Fatalf("password %q", p)
		}
		seen[p] = true
	}
}

// TestDoorPassesBothWays, ends with its context, and bears an appliance that is not there.
func TestDoorPassesBothWays(t *testing.T) {
	echo, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		if c, failed := echo.Accept(); failed == nil {
			_, _ = io.Copy(c, c)
			_ = c.Close()
		}
	}()
	ln, err := Listen(t.Context(), netip.MustParseAddrPort("127.0.0.2:0"))
	if err != nil {
		t.Fatal(err)
	}
	refused := false
	d := &Door{Node: "lb1", ln: ln, dial: func(ctx context.Context) (net.Conn, error) {
		if !refused {
			refused = true
			return nil, errors.New("not up yet")
		}
		return new(net.Dialer).DialContext(ctx, "tcp", echo.Addr().String())
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Serve(ctx) }()
	say := func() (string, error) {
		c, err := new(net.Dialer).DialContext(t.Context(), "tcp", ln.Addr().String())
		if err != nil {
			return "", err
		}
		defer c.Close()
		if _, err = io.WriteString(c, "hello"); err != nil {
			return "", err
		}
		b := make([]byte, 5)
		_, err = io.ReadFull(c, b)
		return string(b), err
	}
	if got, err := say(); err == nil {
		t.Errorf("nobody is there, and %q came back", got)
	}
	if got, err := say(); got != "hello" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := say(); err == nil {
		t.Error("the door is open still")
	}
}
