package mgmt

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// ListenUnix opens the management socket at path with mode 0600, or 0660 for a group other
// than 0. A socket left by a dead daemon is replaced in one step; a
// living daemon is left alone and is an error.
func ListenUnix(ctx context.Context, path string, group int) (net.Listener, error) {
	if conn, err := new(net.Dialer).DialContext(ctx, "unix", path); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("another daemon answers on %s: stop it or use another --socket", path)
	}
	next := path + ".new"
	if err := os.Remove(next); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("open the management socket: %w", err)
	}
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", next)
	if err != nil {
		return nil, fmt.Errorf("open the management socket: %w", err)
	}
	ul, ok := ln.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(fmt.Errorf("open the management socket: got a %T", ln), ln.Close())
	}
	ul.SetUnlinkOnClose(false) // it would remove the name it was bound to
	if err := publish(next, path, group); err != nil {
		return nil, errors.Join(fmt.Errorf("open the management socket: %w", err), ln.Close(), os.Remove(next))
	}
	return &socket{ul, path}, nil
}

// ListenPrivate opens a socket without a place in the file system (unix(7), abstract), for
// a process that another user runs as and that can walk nowhere. Its name is told to that
// process alone; who may use it is decided by the caller's credentials.
func ListenPrivate(ctx context.Context) (net.Listener, error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "unix", "@vosbed-"+rand.Text())
	if err != nil {
		return nil, fmt.Errorf("open the web process's socket: %w", err)
	}
	return ln, nil
}

func publish(next, path string, group int) error {
	mode := os.FileMode(0o600)
	if group != 0 {
		mode = 0o660
		if err := os.Chown(next, -1, group); err != nil {
			return err
		}
	}
	if err := os.Chmod(next, mode); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// socket removes its name when closed.
type socket struct {
	*net.UnixListener
	path string
}

// Close stops listening and removes the socket.
func (s *socket) Close() error {
	_ = os.Remove(s.path)
	return s.UnixListener.Close()
}

// Addr returns the published path.
func (s *socket) Addr() net.Addr { return &net.UnixAddr{Name: s.path, Net: "unix"} }

// peerKey is the context key of a connection's *peer.
type peerKey struct{}

// peer is what the kernel says of the process at the other end.
type peer struct{ uid, gid int }

// withPeer attaches the peer's credentials; a connection without them has no peer
// and is refused later, with an answer.
func withPeer(ctx context.Context, conn net.Conn) context.Context {
	p, err := peerOf(conn)
	if err != nil {
		return ctx
	}
	return context.WithValue(ctx, peerKey{}, p)
}

func peerOf(conn net.Conn) (*peer, error) {
	uc, ok := conn.(*net.UnixConn)
	if !ok {
		return nil, fmt.Errorf("a %T has no peer credentials", conn)
	}
	raw, err := uc.SyscallConn()
	if err != nil {
		return nil, err
	}
	var cred *unix.Ucred
	ctlErr := raw.Control(func(fd uintptr) {
		cred, err = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(ctlErr, err); err != nil {
		return nil, err
	}
	return &peer{uid: int(cred.Uid), gid: int(cred.Gid)}, nil
}

// vouched lets through root, the daemon's own user and the configured group.
func (s *Server) vouched(next http.Handler) http.Handler {
	self := os.Geteuid()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := r.Context().Value(peerKey{}).(*peer)
		if !ok || !p.may(self, s.opts.Group) {
			s.log.WarnContext(r.Context(), "management socket refused", "uid", p.id())
			fail(w, http.StatusForbidden, "this user may not manage the appliance: use root, the daemon's user or a member of its group")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// onlyUser lets through root and one user.
func (s *Server) onlyUser(uid int, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p, ok := r.Context().Value(peerKey{}).(*peer); !ok || (p.uid != uid && p.uid != 0) {
			s.log.WarnContext(r.Context(), "the web process's socket refused", "uid", p.id())
			fail(w, http.StatusForbidden, "this socket is for the web process of the appliance")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// id is the user, -1 = unknown.
func (p *peer) id() int {
	if p == nil {
		return -1
	}
	return p.uid
}

func (p *peer) may(self, group int) bool {
	if p.uid == 0 || p.uid == self {
		return true
	}
	return group != 0 && (p.gid == group || member(p.uid, group))
}

// member reports whether the user's supplementary groups include group.
func member(uid, group int) bool {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return false
	}
	groups, err := u.GroupIds()
	return err == nil && slices.Contains(groups, strconv.Itoa(group))
}
