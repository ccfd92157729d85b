package ipvs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/google/nftables"
	"github.com/moby/ipvs"
	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Forward is how packets reach the real servers.
type Forward string

// Ways of forwarding. Direct Routing changes the link address alone, and replies bypass
// the balancer. NAT writes the server's address into the packet: the servers' way back
// must lead through the balancer, which then forwards IP.
const (
	Direct Forward = "dr"
	NAT    Forward = "nat"
)

// Timeouts of the kernel's connection table, those of the eBPF engine where IPVS lets
// them be set. A closed connection lingers as long as the kernel likes (two minutes).
const (
	tcpIdle = 15 * time.Minute
	tcpFin  = 2 * time.Minute
	udpIdle = 2 * time.Minute
)

// Options configure an engine. The zero value of a field means its default.
type Options struct {
	Forward Forward // default Direct
}

// Plane is the engine in one network namespace. Its methods may be called from any
// goroutine and thread.
type Plane struct {
	opts Options
	sys  sysctls

	mu     sync.Mutex // also of the two sockets, which are not for sharing
	kernel *ipvs.Handle
	nft    *nftables.Conn
	conns  *os.File // the kernel's table of connections, read anew each time
	// table and rules are what was last programmed; rules is nil before the first Set.
	table desired
	rules []rule
	stats totals
}

// New opens the engine in the present network namespace.
func New(opts Options) (*Plane, error) {
	if opts.Forward == "" {
		opts.Forward = Direct
	}
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		return nil, fmt.Errorf("this kernel has no IPVS (module ip_vs): %w", err)
	}
	p := &Plane{opts: opts, stats: totals{}}
	if err := p.open(); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Plane) open() (err error) {
	if p.kernel, err = ipvs.New(""); err != nil {
		return fmt.Errorf("open IPVS: %w", err)
	}
	if p.nft, err = nftables.New(nftables.AsLasting()); err != nil {
		return fmt.Errorf("open nftables: %w", err)
	}
	if p.sys, err = openSysctls(); err != nil {
		return err
	}
	if p.conns, err = os.Open("/proc/thread-self/net/ip_vs_conn"); err != nil {
		return fmt.Errorf("open the kernel's connection table: %w", err)
	}
	if err = p.kernel.SetConfig(&ipvs.Config{TimeoutTCP: tcpIdle, TimeoutTCPFin: tcpFin, TimeoutUDP: udpIdle}); err != nil {
		return fmt.Errorf("set the timeouts of IPVS: %w", err)
	}
	if p.opts.Forward == NAT {
		return p.sys.forward()
	}
	return nil
}

// Close releases the handles. What is programmed stays and goes on serving.
func (p *Plane) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	var errs []error
	if p.kernel != nil {
		p.kernel.Close()
	}
	if p.nft != nil {
		errs = append(errs, p.nft.CloseLasting())
	}
	if p.conns != nil {
		errs = append(errs, p.conns.Close())
	}
	return errors.Join(append(errs, p.sys.close())...)
}

// Set makes the kernel balance as the table says, and changes only the difference.
// Servers come before the packets that need them, and go after them.
func (p *Plane) Set(_ context.Context, table plan.L4Table) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	want, unserved := resolve(table)
	have, err := p.read()
	if err != nil {
		return err
	}
	if err = p.sys.quiesce(!want.keepClients); err != nil {
		return err
	}
	p.stats.learn(have) // before the kernel forgets
	empty := map[uint32]bool{}
	for _, s := range want.services {
		n, failed := p.program(s, have[s.mark])
		if failed != nil {
			return fmt.Errorf("service %s: %w", s.name, failed)
		}
		empty[s.mark] = n == 0
	}
	p.table = want
	p.stats.forget(want)
	if err = p.mark(rulesOf(want, empty)); err != nil {
		return err
	}
	for mark, s := range have {
		if !want.has(mark) {
			if err = p.kernel.DelService(s.raw); err != nil {
				return fmt.Errorf("remove the service of mark %#x: %w", mark, err)
			}
		}
	}
	if unserved != nil {
		return unserved
	}
	return nil
}

// Engine tells the name and why it runs.
func (p *Plane) Engine() (name, why string) {
	return "ipvs", "asked for; forwards by " + string(p.opts.Forward)
}

// Capabilities says what the conformance suite may ask.
func (p *Plane) Capabilities() dataplane.Capabilities {
	return dataplane.Capabilities{
		IPv6: true, Adopt: true,
		Schedulers: []lb.Scheduler{lb.WLC, lb.Maglev},
	}
}
