package front

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	ossignal "os/signal"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/net/netutil"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Bounds of the HTTPS server.
const (
	headerTimeout = 5 * time.Second
	readTimeout   = time.Minute
	idleTimeout   = time.Minute
	graceTimeout  = 2 * time.Second
	maxHeader     = 16 << 10
	maxConns      = 256 // per listener
	maxStreams    = 64  // per connection
)

// MaxPerSource bounds the connections from one address to a listener.
const MaxPerSource = 32

// Pages makes the handler of everything that is not the API, from the path of the
// management socket.
type Pages func(socket string) (http.Handler, error)

// Main is the whole life of a web process: pipe is the inherited end of the handover,
// whose other end closes when the main daemon wants this process to end or is gone.
func Main(ctx context.Context, pipe *os.File, pages Pages, log *slog.Logger) error {
	ossignal.Ignore(unix.SIGINT, unix.SIGTERM, unix.SIGHUP) // a terminal's signals are for the daemon
	if err := harden(); err != nil {
		return err
	}
	h, err := receive(pipe)
	if err != nil {
		return err
	}
	cert, err := tls.X509KeyPair(h.Certificate, h.Key)
	if err != nil {
		return fmt.Errorf("read the certificate that was handed over: %w", err)
	}
	handler, err := Handler(h.Socket, pages, log)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, pipe) // until its other end closes
	}()
	group, ctx := errgroup.WithContext(ctx)
	for i := range h.Listeners {
		ln, err := listener(firstListener + i)
		if err != nil {
			return err
		}
		group.Go(func() error { return Serve(ctx, ln, cert, handler, log) })
	}
	return group.Wait()
}

// harden gives up what the user of the process does not take away by itself: no program
// that it might start can gain anything, and its memory cannot be read by others of its
// user. The first is a property of a thread that only its children have too, so the
// program is started once more by a thread that has it.
func harden() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if has, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || has == 0 {
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("give up new privileges: %w", err)
		}
		return fmt.Errorf("start once more without privileges: %w", syscall.Exec("/proc/self/exe", os.Args, os.Environ()))
	}
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return fmt.Errorf("make the memory unreadable for others: %w", err)
	}
	return nil
}

func listener(fd int) (net.Listener, error) {
	f := os.NewFile(uintptr(fd), "listener")
	if f == nil {
		return nil, fmt.Errorf("descriptor %d was not handed over", fd)
	}
	defer f.Close()
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("use the listener that was handed over: %w", err)
	}
	return ln, nil
}

func server(h http.Handler, log *slog.Logger) *http.Server {
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true) // a browser opens six HTTP/1 connections at most, and live pages keep theirs
	return &http.Server{
		Handler:           h,
		Protocols:         &protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

// Serve serves a listener over HTTPS within the bounds of this process. It returns when
// ctx has ended and no handler runs any more, or the listener failed.
func Serve(ctx context.Context, ln net.Listener, cert tls.Certificate, h http.Handler, log *slog.Logger) error {
	srv := server(h, log)
	srv.TLSConfig = &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}
	srv.BaseContext = func(net.Listener) context.Context { return ctx } // live pages end with it
	failed := make(chan error, 1)
	go func() {
		failed <- srv.ServeTLS(limitSources(netutil.LimitListener(ln, maxConns), MaxPerSource), "", "")
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), graceTimeout)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close()
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	return nil
}
