package dhcp

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"net/netip"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
)

// Conn is how a client reaches the network of its interface.
type Conn interface {
	// Broadcast sends to every server; from is invalid while there is no address.
	Broadcast(from netip.Addr, message []byte) error
	Unicast(from, to netip.Addr, message []byte) error
	// Received are the messages that come for a client. Those that nobody takes are lost.
	Received() <-chan []byte
	// Taken asks whether another host of the network has an address (RFC 5227).
	Taken(ctx context.Context, addr netip.Addr) (bool, error)
}

// Options of a client.
type Options struct {
	MAC  net.HardwareAddr
	Conn Conn
	// Refuse tells why this node must not take an address, "" = it may.
	Refuse func(netip.Addr) string
	// Changed tells of every lease, zero when there is none any more.
	Changed func(Lease)
	// Trouble tells what goes wrong, and "" when it is over.
	Trouble func(string)
}

// Client leases an address.
type Client struct {
	opts     Options
	unusable string // the latest answer to the last question that could not be used, "" = none
}

// New returns a client that has not asked anybody.
func New(opts Options) *Client { return &Client{opts: opts} }

// Times of the protocol (RFC 2131, 4.1 and 4.4.5).
const (
	firstWait    = 2 * time.Second // for an answer; doubled up to the next
	mostWait     = 32 * time.Second
	tries        = 4 // of a request that nobody answers
	afterDecline = 10 * time.Second
	leastAgain   = time.Minute // between two tries to prolong a lease
)

// Run leases an address and keeps it until ctx ends. It begins with the lease that was, if
// that has not ended.
func (c *Client) Run(ctx context.Context, was Lease) {
	lease, have := c.again(ctx, was)
	if !have && was.Addr.IsValid() && ctx.Err() == nil {
		c.opts.Changed(Lease{})
	}
	for ctx.Err() == nil {
		if !have {
			lease, have = c.acquire(ctx)
			continue
		}
		c.hold(ctx, lease)
		have = false
	}
}

// again asks whether a former lease is still ours (INIT-REBOOT). Where nobody answers it is
// used until it ends, as RFC 2131, 3.2, allows.
func (c *Client) again(ctx context.Context, was Lease) (Lease, bool) {
	if !was.Valid(time.Now()) || c.opts.Refuse(was.Addr.Addr()) != "" {
		return Lease{}, false
	}
	got, answered := c.ask(ctx, question{kind: dhcpv4.MessageTypeRequest, asked: was.Addr.Addr()}, netip.Addr{}, 2, was.Addr.Addr())
	switch {
	case answered && got.kind == dhcpv4.MessageTypeAck:
		return got.lease, true
	case answered:
		return Lease{}, false
	}
	return was, was.Valid(time.Now())
}

// acquire asks until there is a lease, or ctx ends.
func (c *Client) acquire(ctx context.Context) (Lease, bool) {
	for wait := firstWait; ctx.Err() == nil; wait = min(2*wait, mostWait) {
		offer, answered := c.ask(ctx, question{kind: dhcpv4.MessageTypeDiscover}, netip.Addr{}, 1, netip.Addr{})
		if !answered {
			if wait > firstWait && ctx.Err() == nil {
				c.opts.Trouble(cmp.Or(c.unusable, "no DHCP server lends an address: look at the cable, the VLAN and the server; it is asked again and again"))
			}
			pause(ctx, wait-firstWait+jitter())
			continue
		}
		if lease, ok := c.take(ctx, offer.lease); ok {
			return lease, true
		}
		pause(ctx, wait)
	}
	return Lease{}, false
}

// take requests what was offered, and looks whether it can be used.
func (c *Client) take(ctx context.Context, offer Lease) (Lease, bool) {
	addr := offer.Addr.Addr()
	if why := c.opts.Refuse(addr); why != "" {
		c.opts.Trouble(fmt.Sprintf("the DHCP server %s lends %s, which is not taken, as it is %s: keep it out of what the server lends", offer.Server, addr, why))
		return Lease{}, false
	}
	got, answered := c.ask(ctx, question{kind: dhcpv4.MessageTypeRequest, asked: addr, server: offer.Server}, netip.Addr{}, tries, addr)
	if !answered || got.kind != dhcpv4.MessageTypeAck {
		if ctx.Err() == nil {
			c.opts.Trouble(cmp.Or(c.unusable, fmt.Sprintf("the DHCP server %s offers %s and then does not lend it: look at the server", offer.Server, addr)))
		}
		return Lease{}, false
	}
	taken, err := c.opts.Conn.Taken(ctx, addr)
	if err != nil || taken {
		why := fmt.Sprintf("the DHCP server %s lends %s, which another host has", offer.Server, addr)
		if err != nil {
			why = fmt.Sprintf("whether another host has %s cannot be found out: %v", addr, err)
		} else {
			c.send(question{kind: dhcpv4.MessageTypeDecline, asked: addr, server: offer.Server, id: newID(), mac: c.opts.MAC}, netip.Addr{})
		}
		c.opts.Trouble(why)
		pause(ctx, afterDecline)
		return Lease{}, false
	}
	return got.lease, ctx.Err() == nil
}

// hold keeps a lease by renewing it, until it is lost or ctx ends. When ctx ends it is not
// told as lost: the next process goes on with it.
func (c *Client) hold(ctx context.Context, l Lease) {
	c.opts.Trouble("")
	c.opts.Changed(l)
	for pause(ctx, time.Until(l.Renew)) {
		if why := c.opts.Refuse(l.Addr.Addr()); why != "" {
			c.Release(l)
			c.opts.Trouble(fmt.Sprintf("the address %s is given up, as it is %s by now", l.Addr.Addr(), why))
			c.opts.Changed(Lease{})
			pause(ctx, afterDecline)
			return
		}
		next, refused := c.prolong(ctx, l)
		if ctx.Err() != nil {
			return
		}
		if !next.Valid(time.Now()) {
			why := "nobody has prolonged it"
			if refused {
				why = "the server does not prolong it"
			}
			c.opts.Trouble(fmt.Sprintf("the address %s is given up, as its DHCP lease is over: %s", l.Addr.Addr(), why))
			c.opts.Changed(Lease{})
			return
		}
		l = next
		c.opts.Trouble("")
		c.opts.Changed(l)
	}
}

// prolong asks the server of a lease, then every one, until somebody answers or the lease
// is over; no lease then.
func (c *Client) prolong(ctx context.Context, l Lease) (next Lease, refused bool) {
	addr := l.Addr.Addr()
	for l.Valid(time.Now()) && ctx.Err() == nil {
		server, until := l.Server, l.Rebind
		if !time.Now().Before(l.Rebind) {
			server, until = netip.Addr{}, l.End
		}
		left := time.Until(until)
		got, answered := c.ask(ctx, question{kind: dhcpv4.MessageTypeRequest, own: addr}, server, 1, addr)
		if answered && got.kind == dhcpv4.MessageTypeAck {
			return got.lease, false
		}
		if answered {
			return Lease{}, true
		}
		c.opts.Trouble(fmt.Sprintf("the DHCP server %s does not prolong the lease of %s, which ends at %s: look at the server", l.Server, addr, l.End.UTC().Format(time.RFC3339)))
		pause(ctx, min(max(left/2, leastAgain), time.Until(until)))
	}
	return Lease{}, false
}

// Release gives an address back to its server (RFC 2131, 4.4.6). Nobody answers that.
func (c *Client) Release(l Lease) {
	c.send(question{kind: dhcpv4.MessageTypeRelease, own: l.Addr.Addr(), server: l.Server, id: newID(), mac: c.opts.MAC}, l.Server)
}

// ask sends a question, some times while nobody answers, to one server or to all. Answers
// for another address than wanted do not count, nor does what is not of the server asked.
func (c *Client) ask(ctx context.Context, q question, to netip.Addr, times int, wanted netip.Addr) (answer, bool) {
	q.id, q.mac, c.unusable = newID(), c.opts.MAC, ""
	for range times {
		if ctx.Err() != nil {
			break
		}
		c.send(q, to)
		if got, ok := c.await(ctx, q, to, wanted); ok {
			return got, true
		}
	}
	return answer{}, false
}

func (c *Client) send(q question, to netip.Addr) {
	message, err := q.encode()
	if err == nil && to.IsValid() {
		err = c.opts.Conn.Unicast(q.own, to, message)
	} else if err == nil {
		err = c.opts.Conn.Broadcast(q.own, message)
	}
	if err != nil {
		c.opts.Trouble("DHCP: " + err.Error())
	}
}

// await waits for an answer to a question. Of those that cannot be used the latest is kept.
func (c *Client) await(ctx context.Context, q question, from, wanted netip.Addr) (answer, bool) {
	timer := time.NewTimer(firstWait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return answer{}, false
		case <-timer.C:
			return answer{}, false
		case data := <-c.opts.Conn.Received():
			got, err := decode(data, q.id, q.mac, time.Now())
			if err != nil {
				if got.kind != dhcpv4.MessageTypeNone {
					c.unusable = err.Error() + ": look at the server"
				}
				continue
			}
			if c.fits(q, got, from, wanted) {
				return got, true
			}
		}
	}
}

// fits says whether an answer is one to a question.
func (c *Client) fits(q question, got answer, from, wanted netip.Addr) bool {
	if q.server.IsValid() {
		from = q.server
	}
	switch {
	case from.IsValid() && got.lease.Server != from:
		return false
	case q.kind == dhcpv4.MessageTypeDiscover:
		return got.kind == dhcpv4.MessageTypeOffer
	case got.kind == dhcpv4.MessageTypeAck:
		return got.lease.Addr.Addr() == wanted
	}
	return got.kind == dhcpv4.MessageTypeNak
}

// newID is a number that nobody can guess: who does not hear the question cannot answer it.
func newID() (id xid) {
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return id
}

// jitter keeps many machines that start together apart.
func jitter() time.Duration { return time.Duration(mrand.Int64N(int64(time.Second))) }

// pause waits, and says whether it was not interrupted.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
