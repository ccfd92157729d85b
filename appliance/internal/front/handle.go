package front

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
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

// Options say what the process serves and as whom.
type Options struct {
	// Listeners are open TCP listeners; the handle owns them from New on.
	Listeners []*net.TCPListener
	// Socket is the management API's socket for this process.
	Socket string
	Cert   tls.Certificate
	// UID and GID are those of the process, if the daemon may choose them.
	UID, GID uint32
	Logger   *slog.Logger
	// Command makes the child's command; nil means this program with the argument
	// "web".
	Command func() (*exec.Cmd, error)
}

// Handle keeps the web process running.
type Handle struct {
	opts  Options
	files []*os.File

	mu      sync.Mutex
	problem string
}

// New takes the listeners over; Run starts the process.
func New(opts Options) (*Handle, error) {
	h := &Handle{opts: opts}
	if h.opts.Command == nil {
		h.opts.Command = self
	}
	if len(opts.Listeners) == 0 {
		return nil, errors.New("the web process needs a listener")
	}
	for _, ln := range opts.Listeners {
		f, err := ln.File() // a duplicate: the listener itself is not needed any more
		_ = ln.Close()
		if err != nil {
			return nil, errors.Join(fmt.Errorf("hand over a listener: %w", err), h.close())
		}
		h.files = append(h.files, f)
	}
	return h, nil
}

func (h *Handle) close() error {
	var errs []error
	for _, f := range h.files {
		errs = append(errs, f.Close())
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
	delay := firstRestart
	for ctx.Err() == nil {
		began := time.Now()
		if err := h.once(ctx); ctx.Err() == nil {
			h.opts.Logger.ErrorContext(ctx, "the web process ended, starting it again", "err", err, "delay", delay)
			h.failed(err)
		}
		if time.Since(began) > steady {
			delay = firstRestart
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, maxRestart)
	}
	return h.close()
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
	return h.problem
}

// once is one life of the process. Closing the pipe is the sign to end.
func (h *Handle) once(ctx context.Context) error {
	theirs, ours, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make the web process's pipe: %w", err)
	}
	defer ours.Close()
	cmd, err := h.opts.Command()
	if err != nil {
		return errors.Join(err, theirs.Close())
	}
	cmd.ExtraFiles = append([]*os.File{theirs}, h.files...)
	cmd.SysProcAttr = h.confined()
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("start the web process: %w", err)
	}
	stop := context.AfterFunc(ctx, func() {
		_ = ours.Close()
		time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	})
	defer stop()
	if err := h.tell(ours); err != nil && ctx.Err() == nil {
		_ = cmd.Process.Kill()
		return errors.Join(err, cmd.Wait())
	}
	up := time.AfterFunc(time.Second, h.serving)
	defer up.Stop()
	if err := cmd.Wait(); err != nil {
		return fmt.Errorf("the web process: %w", err)
	}
	return errors.New("the web process ended by itself")
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

func (h *Handle) tell(pipe io.Writer) error {
	msg := handover{Socket: h.opts.Socket, Listeners: len(h.files)}
	if err := msg.pack(h.opts.Cert); err != nil {
		return err
	}
	if err := json.NewEncoder(pipe).Encode(msg); err != nil {
		return fmt.Errorf("tell the web process what to serve: %w", err)
	}
	return nil
}
