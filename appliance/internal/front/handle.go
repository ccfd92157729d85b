package front

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Restart delays: at once, then slower.
const (
	firstRestart = 50 * time.Millisecond
	maxRestart   = 30 * time.Second
	steady       = time.Minute // a life that long starts the delays anew
	patience     = 3 * time.Second
)

// Options say as whom the process runs and whom it serves.
type Options struct {
	// Socket is the management API's socket for this process.
	Socket string
	// UID and GID are those of the process, if the daemon may choose them.
	UID, GID uint32
	Logger   *slog.Logger
	// Command makes the child's command; nil means this program with the argument
	// "web".
	Command func() (*exec.Cmd, error)
}

// Content is what the process shows beside pages and API.
type Content struct {
	Cert tls.Certificate
	// Strict tells browsers to come by HTTPS only (HSTS): for a certificate that they
	// trust, as they would let nobody past the warning about another.
	Strict bool
	// Page is the fallback page (HTML).
	Page []byte
}

// Handle keeps the web process running.
type Handle struct {
	opts    Options
	changed chan struct{} // capacity 1: serve something else

	mu      sync.Mutex
	doors   []door // in the order of the descriptors
	files   map[netip.AddrPort]*os.File
	content Content
	problem string
	left    []string
}

// New prepares the process; it has something to serve once sockets are committed.
func New(opts Options) *Handle {
	h := &Handle{opts: opts, changed: make(chan struct{}, 1), files: map[netip.AddrPort]*os.File{}}
	if h.opts.Command == nil {
		h.opts.Command = self
	}
	return h
}

// Show changes what the process shows. The next process begins before the present one
// ends, and the listeners stay open: no connection is refused.
func (h *Handle) Show(c Content) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.content = c
	h.renew()
}

func (h *Handle) renew() {
	select {
	case h.changed <- struct{}{}:
	default: // the next process will see this one too
	}
}

// Close closes the listeners of a handle that does not run.
func (h *Handle) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	for addr, f := range h.files {
		errs = append(errs, f.Close())
		delete(h.files, addr)
	}
	return errors.Join(errs...)
}

func self() (*exec.Cmd, error) {
	// The link and not the path: the user of the child may not be able to walk there.
	return &exec.Cmd{Path: "/proc/self/exe", Args: []string{"lbd", "web"}, Stdout: os.Stdout, Stderr: os.Stderr}, nil
}

// Run keeps the process running until ctx ends, and returns when it has gone. Its
// failures are told by Problem: the appliance goes on balancing without it.
func (h *Handle) Run(ctx context.Context) error {
	var lives sync.WaitGroup
	var now *life
	var retry <-chan time.Time
	delay := firstRestart
	failed := func(err error) {
		h.opts.Logger.ErrorContext(ctx, "the web process ended, starting it again", "err", err, "delay", delay)
		h.failed(err)
		retry = time.After(delay)
		delay = min(2*delay, maxRestart)
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			continue
		case err := <-now.over():
			if time.Since(now.began) > steady {
				delay = firstRestart
			}
			now = nil
			failed(err)
			continue
		case <-h.changed:
		case <-retry:
		}
		retry = nil
		next, err := h.start(&lives)
		if err != nil {
			failed(err)
			continue
		}
		now.end()
		now = next
	}
	now.end()
	lives.Wait()
	return h.Close()
}

func (h *Handle) failed(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problem = fmt.Sprintf("the web process ended and is started again: %v", err)
}

func (h *Handle) serving() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.problem = ""
}

// Problem is what an operator must know, "" = nothing.
func (h *Handle) Problem() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := h.left
	if h.problem != "" {
		all = append([]string{h.problem}, all...)
	}
	return strings.Join(all, "; ")
}

// life is one life of the process. A nil one never ends and has nothing to end.
type life struct {
	cmd   *exec.Cmd
	pipe  *os.File // closing it is the sign to end
	began time.Time
	ended chan error // capacity 1
}

func (l *life) over() <-chan error {
	if l == nil {
		return nil
	}
	return l.ended
}

// end lets the process finish what it does, for a while.
func (l *life) end() {
	if l == nil {
		return
	}
	_ = l.pipe.Close()
	time.AfterFunc(patience, func() { _ = l.cmd.Process.Kill() })
}

// start begins a life, or none where there is nothing to serve.
func (h *Handle) start(lives *sync.WaitGroup) (*life, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.doors) == 0 {
		return nil, nil //nolint:nilnil // no life is not an error
	}
	theirs, ours, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the web process's pipe: %w", err)
	}
	defer theirs.Close()
	cmd, err := h.opts.Command()
	if err != nil {
		return nil, errors.Join(err, ours.Close())
	}
	cmd.ExtraFiles = []*os.File{theirs}
	for _, d := range h.doors {
		cmd.ExtraFiles = append(cmd.ExtraFiles, h.files[d.Addr])
	}
	cmd.SysProcAttr = h.confined()
	if err = cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start the web process: %w", err), ours.Close())
	}
	l := &life{cmd, ours, time.Now(), make(chan error, 1)}
	told := make(chan error, 1)
	msg := handover{Socket: h.opts.Socket, Doors: h.doors, Strict: h.content.Strict, Page: h.content.Page}
	cert := h.content.Cert
	go func() { told <- tell(ours, msg, cert) }() // a pipe holds less than all this
	up := time.AfterFunc(time.Second, h.serving)
	lives.Go(func() {
		err := cmd.Wait()
		up.Stop()
		_ = ours.Close()
		l.ended <- reason(err, <-told)
	})
	return l, nil
}

// reason is why a life ended by itself.
func reason(ended, told error) error {
	if ended != nil {
		return errors.Join(fmt.Errorf("the web process: %w", ended), told)
	}
	return errors.Join(errors.New("the web process ended by itself"), told)
}

// confined makes the child another user without any capability, where the daemon may
// do that, and lets it die with its parent.
func (h *Handle) confined() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if os.Geteuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: h.opts.UID, Gid: h.opts.GID, Groups: []uint32{}}
	}
	return attr
}

func tell(pipe io.Writer, msg handover, cert tls.Certificate) error {
	if err := msg.pack(cert); err != nil {
		return err
	}
	if err := json.NewEncoder(pipe).Encode(msg); err != nil {
		return fmt.Errorf("tell the web process what to serve: %w", err)
	}
	return nil
}
