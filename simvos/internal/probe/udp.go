// Package probe answers the questions of traffic generators: who is behind
// this address (UDP and TCP probes), and how fast is the way to it (bulk
// streams). The formats are those of package control.
package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"runtime"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/identity"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

// maxCached bounds the responder's own table of ledger entries.
const maxCached = 1 << 16

// Shared is what every responder of a node needs.
type Shared struct {
	Identity *identity.Identity
	Ledger   *ledger.Ledger
	Faults   *control.FaultBoard
	// Source returns the local address to answer from, given the address that
	// the client used and its service.
	Source func(used netip.Addr, service string) netip.Addr
}

// UDP is the responder of UDP probes on one port.
type UDP struct {
	Shared
	sock    *sock.Batch
	entries map[netip.Addr]ledger.Entry
	counter uint64
}

// OpenUDP binds the port.
func OpenUDP(s Shared, o sock.Opener, port uint16) (*UDP, error) {
	b, err := o.OpenBatch(port)
	if err != nil {
		return nil, err
	}
	return &UDP{Shared: s, sock: b, entries: make(map[netip.Addr]ledger.Entry)}, nil
}

// Addr is the listen address.
func (u *UDP) Addr() net.Addr {
	return &net.UDPAddr{IP: net.IPv6unspecified, Port: int(u.sock.LocalPort())}
}

// Serve answers until ctx ends, on a thread of its own: a goroutine that must
// first be scheduled would add its delay to every measured latency.
func (u *UDP) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, u.sock.Wake)
	done := make(chan error, 1)
	go func() { done <- u.loop() }()
	err := <-done
	if stop() {
		u.sock.Wake()
	}
	if cerr := u.sock.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("close the UDP responder: %w", cerr)
	}
	return err
}

func (u *UDP) loop() error {
	runtime.LockOSThread()
	for {
		more, err := u.sock.Receive(u.answer)
		if !more || err != nil {
			return err
		}
	}
}

func (u *UDP) answer(r sock.Request) {
	e := u.entry(r.From())
	e.Received(1, r.Len)
	if !control.IsProbeRequest(r.Data) {
		e.Stray()
		return
	}
	if u.Faults.Has(control.MediaDead, control.ServiceProbeUDP) {
		return
	}
	u.counter++
	reply := control.AppendProbeReply(r.Buffer(), r.Data, u.Identity.Marker(u.counter))
	r.Reply(reply, u.Source(r.To(), control.ServiceProbeUDP))
	e.Sent(1, len(reply))
}

// entry finds the ledger entry of a client without taking the ledger's lock.
func (u *UDP) entry(client netip.Addr) ledger.Entry {
	e, ok := u.entries[client]
	if ok {
		return e
	}
	if len(u.entries) >= maxCached {
		clear(u.entries)
	}
	e = u.Ledger.Entry(control.ServiceProbeUDP, client)
	u.entries[client] = e
	return e
}
