// Package demo opens the WebUIs of a lab that stands on this machine's loopback, for a
// person with a browser. Nothing leaves loopback and the lab: every connection that is
// accepted on 127.0.0.x goes on from a socket inside the namespace of an appliance.
package demo

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/internal/netns"
)

const (
	// User is the account of the guide (9.3).
	User = "loadbalancer"
	// most bounds the connections of one door.
	most = 64
	// dialWithin bounds the way from the door to the appliance.
	dialWithin = 5 * time.Second
)

// Door is one WebUI on loopback.
type Door struct {
	Node string
	URL  string
	ln   net.Listener
	dial func(context.Context) (net.Conn, error)
}

// Password returns one that nobody has had before: 60 random bits, easy to type.
func Password() string {
	text := rand.Text()
	return text[:4] + "-" + text[4:8] + "-" + text[8:12]
}

// Listen takes a loopback address.
func Listen(ctx context.Context, at netip.AddrPort) (net.Listener, error) {
	if !at.Addr().IsLoopback() {
		return nil, fmt.Errorf("%s is no loopback address", at)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", at.String())
	if err != nil {
		return nil, fmt.Errorf("open a WebUI on loopback (another port: --port): %w", err)
	}
	return netutil.LimitListener(ln, most), nil
}

// Node is an appliance of a lab that stands.
type Node struct {
	Name string
	Dir  string // of the run
	NS   *netns.NS
}

// Open makes a listener the door of an appliance and sets the password there.
func Open(ctx context.Context, ln net.Listener, n Node, password string) (*Door, error) {
	client := api.NewUnix(filepath.Join(n.Dir, "nodes", n.Name, "api.sock"))
	defer client.Close()
	if err := client.SetAccount(ctx, User, api.NewAccount{Role: api.RoleAdmin, Password: password}); err != nil {
		return nil, fmt.Errorf("set the password of %s: %w", n.Name, err)
	}
	text, _, err := client.Config(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask %s for its address: %w", n.Name, err)
	}
	cfg, err := config.Parse(n.Name, text)
	if err != nil {
		return nil, err
	}
	if len(cfg.Node.Management) == 0 {
		return nil, fmt.Errorf("%s has no WebUI: node.management is empty", n.Name)
	}
	target := cfg.Node.Management[0].String()
	dial := func(ctx context.Context) (conn net.Conn, err error) {
		err = n.NS.Do(func() error {
			var d net.Dialer
			conn, err = d.DialContext(ctx, "tcp", target)
			return err
		})
		return conn, err
	}
	return &Door{Node: n.Name, URL: "https://" + ln.Addr().String() + "/lbadmin/", ln: ln, dial: dial}, nil
}

// Serve passes connections on until ctx ends.
func (d *Door) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = d.ln.Close() })
	defer stop()
	var open sync.WaitGroup
	defer open.Wait()
	for {
		c, err := d.ln.Accept()
		if err != nil {
			if ctx.Err() != nil || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("the door of %s: %w", d.Node, err)
		}
		open.Go(func() { d.pass(ctx, c) })
	}
}

// pass joins one connection with one inside the lab.
func (d *Door) pass(ctx context.Context, near net.Conn) {
	defer near.Close()
	within, cancel := context.WithTimeout(ctx, dialWithin)
	far, err := d.dial(within)
	cancel()
	if err != nil {
		return // the browser tells that nobody answers
	}
	defer far.Close()
	stop := context.AfterFunc(ctx, func() { _, _ = near.Close(), far.Close() })
	defer stop()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{near, far}, {far, near}} {
		go func() {
			_, _ = io.Copy(way[0], way[1])
			done <- struct{}{}
		}()
	}
	<-done
}
