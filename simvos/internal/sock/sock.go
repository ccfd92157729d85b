// Package sock opens the sockets of a node: TCP listeners, UDP sockets that
// know which address the client used and answer from it, and the same as raw
// descriptors for the loops that must be fast.
//
// A server behind Direct Routing owns several addresses. A socket bound to the
// wildcard answers from the one that the routing table prefers, which is the
// real server's address and not the virtual one, and strict clients drop such
// replies. All UDP sockets here therefore receive the destination address with
// each datagram and set it as the source of the reply (RFC 3542 section 6.1,
// IPV6_PKTINFO; on a dual-stack socket IPv4 addresses travel in mapped form).
package sock

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// acceptPause is the pause before accepting again after a shortage.
const acceptPause = 10 * time.Millisecond

// Opener opens sockets. The zero value opens them in the network namespace of
// the calling thread.
type Opener struct {
	// Do runs its argument in the node's network namespace; nil calls it.
	Do func(func() error) error
}

func (o Opener) do(f func() error) error {
	if o.Do == nil {
		return f()
	}
	return o.Do(f)
}

// ListenTCP listens on the port of every local address, IPv4 and IPv6.
// Multipath TCP, which Go turns on for listeners, is off: media servers speak
// plain TCP and the balancer's counters should see that.
func (o Opener) ListenTCP(ctx context.Context, port uint16) (*net.TCPListener, error) {
	var ln net.Listener
	err := o.do(func() (err error) {
		var lc net.ListenConfig
		lc.SetMultipathTCP(false)
		ln, err = lc.Listen(ctx, "tcp", fmt.Sprintf(":%d", port))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("listen on TCP port %d: %w", port, err)
	}
	return ln.(*net.TCPListener), nil
}

// ServeTCP accepts connections until ctx ends and gives each to handle on a
// goroutine of its own. It then closes the listener and every connection, and
// returns when all handlers have returned.
func ServeTCP(ctx context.Context, ln net.Listener, handle func(context.Context, *net.TCPConn)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { ln.Close() })
	defer stop()
	for {
		conn, err := ln.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			if isShortage(err) && pause(ctx) {
				continue
			}
			cancel()
			return fmt.Errorf("accept on %s: %w", ln.Addr(), err)
		}
		wg.Go(func() { serveConn(ctx, conn.(*net.TCPConn), handle) })
	}
}

// pause lets a shortage of descriptors or memory pass; false when ctx ended.
func pause(ctx context.Context) bool {
	t := time.NewTimer(acceptPause)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// isShortage reports errors of accept that concern one connection only.
func isShortage(err error) bool {
	return errorsIs(err, unix.ECONNABORTED, unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM)
}

func serveConn(ctx context.Context, conn *net.TCPConn, handle func(context.Context, *net.TCPConn)) {
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	defer conn.Close()
	handle(ctx, conn)
}
