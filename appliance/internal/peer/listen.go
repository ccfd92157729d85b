package peer

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxShakes bounds handshakes under way: whoever holds the peer's address can open
// connections, only the peer can finish a handshake. The oldest makes room.
const maxShakes = 8

// door admits connections one by one, each after its handshake. The last one wins:
// the earlier one belongs to a peer that has died without a word.
type door struct {
	r       *Replicator
	wg      sync.WaitGroup
	shaking [maxShakes]context.CancelFunc // a ring
	next    int

	mu  sync.Mutex
	end func()
}

// listen is the primary's end.
func (r *Replicator) listen(ctx context.Context) error {
	lc := net.ListenConfig{Control: freebind}
	// MPTCP would be on by default and costs every connection options that the peer
	// does not speak.
	lc.SetMultipathTCP(false)
	ln, err := lc.Listen(ctx, "tcp", r.cfg.Local.String())
	if err != nil {
		return fmt.Errorf("listen for replication on %s: %w", r.cfg.Local, err)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { _ = ln.Close() })
	d := &door{r: r, end: func() {}}
	defer func() {
		cancel()
		d.wg.Wait()
		d.end()
		if stop() {
			_ = ln.Close()
		}
	}()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = conn.Close()
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("accept a replication connection: %w", err)
		}
		d.knock(ctx, conn)
	}
}

// knock begins a handshake that nobody waits for: a stranger that says nothing must
// not keep the peer out.
func (d *door) knock(ctx context.Context, conn net.Conn) {
	if !d.r.fromPeer(conn) {
		_ = conn.Close()
		return
	}
	short, cancel := context.WithCancel(ctx)
	if evict := d.shaking[d.next]; evict != nil {
		evict()
	}
	d.shaking[d.next] = cancel
	d.next = (d.next + 1) % maxShakes
	d.wg.Go(func() {
		defer cancel()
		tlsConn := tls.Server(conn, d.r.id.config())
		if d.r.shake(short, tlsConn) == nil {
			d.admit(ctx, tlsConn)
		}
	})
}

func (d *door) admit(ctx context.Context, conn net.Conn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.end()
	d.end = d.r.background(ctx, conn)
}

// background serves a connection; the function it returns ends it and waits.
func (r *Replicator) background(ctx context.Context, conn net.Conn) func() {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.serve(ctx, conn)
	}()
	return func() {
		cancel()
		<-done
	}
}

func (r *Replicator) fromPeer(conn net.Conn) bool {
	a, ok := conn.RemoteAddr().(*net.TCPAddr)
	return ok && a.AddrPort().Addr().Unmap() == r.cfg.Peer.Addr().Unmap()
}

// shake makes sure of the other end before anything else is said.
func (r *Replicator) shake(ctx context.Context, conn *tls.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, handshake)
	defer cancel()
	if err := conn.HandshakeContext(ctx); err != nil {
		r.trouble(fmt.Errorf("replication handshake with %s: %w", r.cfg.Peer.Addr(), err))
		return errors.Join(err, conn.Close())
	}
	return nil
}

// freebind lets the listener start before its address has arrived.
func freebind(network, _ string, c syscall.RawConn) error {
	level, name := unix.SOL_IP, unix.IP_FREEBIND
	if network == "tcp6" {
		level, name = unix.SOL_IPV6, unix.IPV6_FREEBIND
	}
	var err error
	if cerr := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, 1) }); cerr != nil {
		return cerr
	}
	return err
}
