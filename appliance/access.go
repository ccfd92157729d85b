package appliance

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vosbed/vosbed/appliance/internal/fallback"
	"github.com/vosbed/vosbed/appliance/internal/front"
	"github.com/vosbed/vosbed/appliance/internal/identity"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/devtls"
)

// access is how people come to the node: the sockets of the web process, the certificate
// that it shows, and the fallback page.
type access struct {
	stateDir string
	uploaded *identity.Store
	page     *fallback.Store
	damaged  string                       // why an uploaded certificate is not in use, "" = it is, or there is none
	handle   atomic.Pointer[front.Handle] // nil until the appliance runs

	leases atomic.Pointer[map[string]netip.Addr] // by DHCP, by interface

	mu   sync.Mutex // one change of what is shown at a time
	cert tls.Certificate
	own  bool // it was uploaded
}

func openAccess(stateDir string, cfg lb.Config) (*access, error) {
	a := &access{stateDir: stateDir}
	var err error
	if a.uploaded, err = identity.Open(stateDir); err != nil {
		a.damaged = err.Error()
	}
	if a.page, err = fallback.Open(stateDir); err != nil {
		return nil, err
	}
	a.cert, a.own, err = a.certificate(cfg.Node)
	return a, err
}

// here is a node with the addresses that it has by DHCP.
func (a *access) here(cfg lb.Config) lb.Config {
	if leases := a.leases.Load(); leases != nil {
		cfg.Node = cfg.Node.Leased(*leases)
	}
	return cfg
}

// move opens the sockets of other leases, and closes those of the former ones.
func (a *access) move(cfg lb.Config, leases map[string]netip.Addr) error {
	before := a.here(cfg)
	was := a.leases.Swap(&leases)
	if reflect.DeepEqual(before.Node.Management, a.here(cfg).Node.Management) {
		return nil
	}
	finish, err := a.prepareFrom(before, cfg)
	if err != nil {
		a.leases.Store(was)
		return err
	}
	return finish(true)
}

// sockets are those that a configuration wants of the web process.
func sockets(cfg lb.Config) front.Sockets {
	out := front.Sockets{HTTPS: cfg.Node.Management, HTTP: cfg.Node.ManagementHTTP}
	if at, written := cfg.Node.FallbackAt(); written {
		out.Fallback = at
	} else {
		out.Optional = at
	}
	out.Inside = slices.ContainsFunc(cfg.Services, func(s lb.VirtualService) bool { return s.Proxy.Fallback })
	return out
}

// certificate is the uploaded one, or else one that the node makes for its name and
// addresses.
func (a *access) certificate(n lb.Node) (cert tls.Certificate, own bool, err error) {
	if cert, own = a.uploaded.Certificate(); own {
		return cert, true, nil
	}
	cert, err = devtls.Load(a.stateDir, devtls.Names{Host: n.Name, Addrs: addresses(n)}, time.Now())
	return cert, false, err
}

// addresses are those by which people open the WebUI.
func addresses(n lb.Node) []netip.Addr {
	var out []netip.Addr
	for _, m := range n.Management {
		if !slices.Contains(out, m.Addr()) {
			out = append(out, m.Addr())
		}
	}
	return out
}

// show lets the web process serve what the node has now.
func (a *access) show(n lb.Node) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	cert, own, err := a.certificate(a.here(lb.Config{Node: n}).Node)
	if err != nil {
		return err
	}
	a.cert, a.own = cert, own
	if h := a.handle.Load(); h != nil {
		page, _ := a.page.Page()
		h.Show(front.Content{Cert: cert, Strict: own && identity.Vouched(cert.Leaf), Page: page})
	}
	return nil
}

// shown is the certificate in use, and whether it was uploaded.
func (a *access) shown() (tls.Certificate, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.cert, a.own
}

// pin is the fingerprint by which the peer and programs know the node.
func (a *access) pin() string {
	cert, _ := a.shown()
	return devtls.Pin(cert.Leaf)
}

// end is when the certificate expires.
func (a *access) end() time.Time {
	cert, _ := a.shown()
	return cert.Leaf.NotAfter
}

// inside is where layer 7 finds the fallback page; invalid = nowhere.
func (a *access) inside() netip.AddrPort {
	if h := a.handle.Load(); h != nil {
		return h.Inside()
	}
	return netip.AddrPort{}
}

// prepare opens the sockets of a new configuration. What it returns puts them in force,
// or closes them again. An error changes nothing.
func (a *access) prepare(now, want lb.Config) (finish func(commit bool) error, err error) {
	return a.prepareFrom(a.here(now), want)
}

func (a *access) prepareFrom(now, want lb.Config) (finish func(commit bool) error, err error) {
	h := a.handle.Load()
	if h == nil {
		return func(bool) error { return nil }, nil // they are opened when the appliance runs
	}
	want = a.here(want)
	change, err := h.Prepare(context.Background(), sockets(want))
	if err != nil {
		return nil, err
	}
	return func(commit bool) error {
		if !commit {
			change.Abort()
			return nil
		}
		change.Commit()
		if slices.Equal(addresses(now.Node), addresses(want.Node)) {
			return nil
		}
		return a.show(want.Node) // the self-made certificate names the new addresses
	}, nil
}

// problems are what an operator must know about all this.
func (a *access) problems() []string {
	var out []string
	if a.damaged != "" {
		out = append(out, a.damaged)
	}
	if h := a.handle.Load(); h != nil && h.Problem() != "" {
		out = append(out, h.Problem())
	}
	cert, own := a.shown()
	now := time.Now()
	left := cert.Leaf.NotAfter.Sub(now)
	switch {
	case left >= identity.Soon:
	case !own:
		out = append(out, fmt.Sprintf("the certificate of the WebUI %s: the node renews it when lbd starts again", identity.Expires(cert.Leaf, now)))
	case left < identity.VerySoon:
		out = append(out, fmt.Sprintf("urgent: the certificate of the WebUI %s: upload a new one (Local Configuration > Security)", identity.Expires(cert.Leaf, now)))
	default:
		out = append(out, fmt.Sprintf("the certificate of the WebUI %s: upload a new one (Local Configuration > Security)", identity.Expires(cert.Leaf, now)))
	}
	return out
}
