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
	"strings"
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
	lastCalls     = 500 * time.Millisecond
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
	handlers, err := h.handlers(pages, log)
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
	for i, d := range h.Doors {
		ln, err := listener(firstListener + i)
		if err != nil {
			return err
		}
		group.Go(func() error {
			switch d.Kind {
			case kindHTTP:
				return serve(ctx, server(handlers[d.Kind], log), limited(ln))
			case kindFallback:
				return serveFallback(ctx, ln, cert, handlers[d.Kind], log)
			}
			return Serve(ctx, ln, cert, handlers[d.Kind], log)
		})
	}
	return group.Wait()
}

// handlers are what is served, by the kind of the door.
func (h handover) handlers(pages Pages, log *slog.Logger) (map[string]http.Handler, error) {
	all, err := Handler(h.Socket, pages, log)
	if err != nil {
		return nil, err
	}
	if h.Strict {
		all = strict(all)
	}
	return map[string]http.Handler{kindHTTPS: all, kindHTTP: toHTTPS(h.Doors), kindFallback: fallback(h.Page)}, nil
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
	return serve(ctx, srv, limited(ln))
}

// limited bounds the connections to a listener, and those of one address.
func limited(ln net.Listener) net.Listener {
	return limitSources(netutil.LimitListener(ln, maxConns), MaxPerSource)
}

// finish lets a server without a listener come to its end. Who has connected has a moment
// to ask: a server that shuts down drops what it has not read yet.
func finish(ctx context.Context, srv *http.Server) {
	srv.SetKeepAlivesEnabled(false)
	<-time.After(lastCalls)
	grace, cancel := context.WithTimeout(ctx, graceTimeout)
	defer cancel()
	if err := srv.Shutdown(grace); err != nil {
		_ = srv.Close()
	}
}

// endStreams ends live pages with ctx. Other requests have the time of the shutdown: one
// that changed the certificate must be answered by the process that it came to.
func endStreams(ctx context.Context, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
			next.ServeHTTP(w, r)
			return
		}
		own, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		next.ServeHTTP(w, r.WithContext(own))
	})
}

// serve serves a listener, over TLS if the server has a configuration for it, until ctx
// ends.
func serve(ctx context.Context, srv *http.Server, ln net.Listener) error {
	srv.Handler = endStreams(ctx, srv.Handler)
	failed := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			failed <- srv.ServeTLS(ln, "", "")
			return
		}
		failed <- srv.Serve(ln)
	}()
	select {
	case err := <-failed:
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	_ = ln.Close()
	if err := <-failed; !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("serve %s: %w", ln.Addr(), err)
	}
	finish(context.WithoutCancel(ctx), srv)
	return nil
}
