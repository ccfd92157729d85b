package mpegts

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/vosbed/vosbed/simvos/control"
	"github.com/vosbed/vosbed/simvos/internal/ledger"
	"github.com/vosbed/vosbed/simvos/internal/sock"
)

const (
	// subscribe is how a request for the stream begins; any later datagram that
	// begins so keeps it alive.
	subscribe = "TS"
	// keepalive is how long the stream goes on without a request.
	keepalive = 10 * time.Second
	// maxSubscribers bounds the fan-out of one node.
	maxSubscribers = 4096
	// maxRequest and maxDatagram are the sizes of receive buffers.
	maxRequest  = 2048
	maxDatagram = 65536
	// datagramLen is the usual seven packets per datagram.
	datagramLen = 7 * packetSize
)

// UDP sends the stream to clients that ask for it, from the address that they
// asked.
type UDP struct {
	Shared
	sock *sock.UDP

	mu   sync.Mutex
	subs map[subscription]*subscriber
}

// subscription identifies a stream by both ends.
type subscription struct {
	client netip.AddrPort
	used   netip.Addr
}

type subscriber struct {
	entry   ledger.Entry
	until   time.Time
	started bool
}

// OpenUDP binds the port.
func OpenUDP(ctx context.Context, s Shared, o sock.Opener, port uint16) (*UDP, error) {
	u, err := o.ListenUDP(ctx, port)
	if err != nil {
		return nil, err
	}
	return &UDP{Shared: s, sock: u, subs: make(map[subscription]*subscriber)}, nil
}

// Addr is the listen address.
func (u *UDP) Addr() net.Addr { return u.sock.Addr() }

// Serve takes requests and sends until ctx ends and ends all subscriptions then.
func (u *UDP) Serve(ctx context.Context) error {
	defer u.endAll()
	g, ctx := errgroup.WithContext(ctx)
	wake := make(chan struct{}, 1)
	g.Go(func() error {
		return u.sock.Each(ctx, maxRequest, func(b []byte, d sock.Datagram) { u.request(b, d, wake) })
	})
	g.Go(func() error { return u.feed(ctx, wake) })
	return g.Wait()
}

// request keeps the table of subscribers.
func (u *UDP) request(b []byte, d sock.Datagram, wake chan<- struct{}) {
	e := u.Ledger.Entry(control.ServiceTSUDP, d.From.Addr())
	e.Received(1, len(b))
	if !bytes.HasPrefix(b, []byte(subscribe)) {
		e.Stray()
		return
	}
	u.renew(subscription{d.From, d.To}, e, time.Now())
	select {
	case wake <- struct{}{}:
	default:
	}
}

// renew starts the subscription or prolongs it.
func (u *UDP) renew(k subscription, e ledger.Entry, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	s := u.subs[k]
	if s == nil {
		if len(u.subs) >= maxSubscribers {
			return
		}
		s = &subscriber{entry: e}
		u.subs[k] = s
		e.Open()
	}
	s.until = now.Add(keepalive)
}

// feed sends frames as long as there are subscribers, and waits for the next
// one when there are none.
func (u *UDP) feed(ctx context.Context, wake <-chan struct{}) error {
	for {
		select {
		case <-wake:
		case <-ctx.Done():
			return nil
		}
		if err := u.send(ctx); err != nil {
			return err
		}
	}
}

func (u *UDP) send(ctx context.Context) error {
	view := u.Live.Watch()
	defer view.Close()
	for {
		select {
		case f := <-view.C:
			more, err := u.fanOut(f.TS, f.Key, time.Now())
			if err != nil && ctx.Err() == nil {
				return err
			}
			if !more {
				return nil
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// fanOut sends one frame to each subscriber; more is false when none is left.
func (u *UDP) fanOut(ts []byte, key bool, now time.Time) (more bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	silent := u.Faults.Has(control.MediaDead, control.ServiceTSUDP)
	for k, s := range u.subs {
		if now.After(s.until) {
			delete(u.subs, k)
			s.entry.Close()
			continue
		}
		s.started = s.started || key
		if silent || !s.started {
			continue
		}
		if err := u.sendTo(k, s.entry, ts); err != nil {
			return true, err
		}
	}
	return len(u.subs) > 0, nil
}

func (u *UDP) endAll() {
	u.mu.Lock()
	defer u.mu.Unlock()
	for k, s := range u.subs {
		delete(u.subs, k)
		s.entry.Close()
	}
}

// sendTo cuts the frame into datagrams.
func (u *UDP) sendTo(k subscription, e ledger.Entry, ts []byte) error {
	src := u.Source(k.used, control.ServiceTSUDP)
	for len(ts) > 0 {
		n := min(len(ts), datagramLen)
		err := u.sock.Write(ts[:n], k.client, src)
		if err != nil && (errors.Is(err, net.ErrClosed) || !sock.IsPassing(err)) {
			return fmt.Errorf("send the stream to %s: %w", k.client, err)
		}
		e.Sent(n/packetSize, n)
		ts = ts[n:]
	}
	return nil
}
