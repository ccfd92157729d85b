package sentinel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/lb"
)

// Restart delays: at once, since the lease is running out, then slower.
const (
	firstRestart = 5 * time.Millisecond
	maxRestart   = 2 * time.Second
	// patience is how long an order may take.
	patience = 2 * time.Second
	// flushShare is the part of the sentinel's patience, in percent, that the peer has to
	// confirm what it did not know yet: the answer has to get back in time.
	flushShare = 64
	// moment is how long a sign of life may wait: the next one is as good.
	moment = 2 * time.Millisecond
)

// Options say how to start the sentinel process.
type Options struct {
	// Command makes the child's command; its ExtraFiles are set by Run. Nil means
	// this program itself with the argument "sentinel".
	Command func() (*exec.Cmd, error)
	// Start starts the command; nil means (*exec.Cmd).Start. A child starts in the
	// network namespace of the thread that runs this.
	Start func(*exec.Cmd) error
	// Flush brings the peer's persistence table up to date before the addresses are
	// handed over; an error, or the end of ctx, calls that off. Nil = there is nothing.
	Flush func(ctx context.Context) error
	// Agreed is told the generation of the secret by which the peer is heard. Nil = nobody
	// asks.
	Agreed func(generation uint64)
	// Logger gets the sentinel's decisions.
	Logger *slog.Logger
}

// Handle is the main daemon's end of the sentinel. Its methods may be called from
// any goroutine, before and during Run; what is set before is sent when the process
// has started, and again after a restart.
type Handle struct {
	opts   Options
	states chan lb.PairStatus

	mu       sync.Mutex
	conn     *net.UnixConn
	cfg      *Config
	synced   bool
	progress uint64
	state    lb.PairStatus
	failure  string // the latest of the running process
	orders   map[uint64]chan string
	lastID   uint64
}

// New returns a handle; Run starts the process.
func New(opts Options) *Handle {
	if opts.Command == nil {
		opts.Command = self
	}
	if opts.Start == nil {
		opts.Start = (*exec.Cmd).Start
	}
	if opts.Flush == nil {
		opts.Flush = func(context.Context) error { return nil }
	}
	return &Handle{opts: opts, states: make(chan lb.PairStatus, 1), orders: map[uint64]chan string{}}
}

func self() (*exec.Cmd, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	cmd := &exec.Cmd{Path: exe, Args: []string{exe, "sentinel"}, Stdout: os.Stdout, Stderr: os.Stderr}
	return cmd, nil
}

// Run starts the sentinel, restarts it when it dies, and returns when ctx has
// ended and the process has gone. Lease and addresses stay as they are: release
// them first, if the peer shall take over at once.
func (h *Handle) Run(ctx context.Context) error {
	delay := firstRestart
	for ctx.Err() == nil {
		began := time.Now()
		if died := h.once(ctx); ctx.Err() == nil {
			h.opts.Logger.ErrorContext(ctx, "sentinel ended, starting it again", "err", died)
			h.ended(died)
		}
		if time.Since(began) > time.Minute {
			delay = firstRestart
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, maxRestart)
	}
	return nil
}

// once is one life of the process.
func (h *Handle) once(ctx context.Context) error {
	conn, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer conn.Close()
	cmd, err := h.opts.Command()
	if err != nil {
		return errors.Join(err, theirs.Close())
	}
	cmd.ExtraFiles = []*os.File{theirs}
	err = h.opts.Start(cmd)
	_ = theirs.Close()
	if err != nil {
		return fmt.Errorf("start the sentinel: %w", err)
	}
	// Closing the socket ends the process: it is the one signal it obeys.
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	h.attach(conn)
	h.read(conn)
	h.detach()
	_ = conn.Close()
	// A process that does not obey is stopped or hung; its lease has run out.
	kill := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait()
}

func socketPair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make the sentinel's socket: %w", err)
	}
	theirs := os.NewFile(uintptr(fds[1]), "sentinel")
	ours := os.NewFile(uintptr(fds[0]), "main")
	defer ours.Close()
	c, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("use the sentinel's socket: %w", err), theirs.Close())
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return nil, nil, errors.Join(fmt.Errorf("the sentinel's socket is a %T", c), theirs.Close())
	}
	return u, theirs, nil
}

// attach sends what a new process must know.
func (h *Handle) attach(conn *net.UnixConn) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn, h.failure = conn, ""
	if h.cfg == nil {
		return
	}
	h.send(message{Configure: h.cfg})
	h.send(message{Synced: &h.synced})
}

func (h *Handle) detach() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.conn = nil
	for id, c := range h.orders {
		c <- "the sentinel ended"
		delete(h.orders, id)
	}
}

// send is called with the lock held. A message to no process is sent by attach
// later. A process that does not take its messages misses what it must know: closing
// the socket ends it, and another one starts with everything.
func (h *Handle) send(m message) {
	if h.conn == nil {
		return
	}
	b, err := encode(m)
	if err != nil {
		h.opts.Logger.Error("cannot write to the sentinel", "err", err)
		return
	}
	_ = h.conn.SetWriteDeadline(time.Now().Add(patience))
	if _, err = h.conn.Write(b); err != nil && !errors.Is(err, net.ErrClosed) {
		h.opts.Logger.Error("cannot write to the sentinel, starting another", "err", err)
		_ = h.conn.Close()
	}
}

func (h *Handle) read(conn *net.UnixConn) {
	buf := make([]byte, maxMessage)
	for {
		n, err := conn.Read(buf)
		if err != nil || n == 0 {
			return
		}
		m, err := decode(buf[:n])
		if err != nil {
			h.opts.Logger.Error("ignored a message of the sentinel", "err", err)
			continue
		}
		if m.Flush != nil {
			go h.flush(conn, *m.Flush)
			continue
		}
		h.take(m)
	}
}

// flush answers a request of the process at the other end of conn.
func (h *Handle) flush(conn *net.UnixConn, f flush) {
	ctx, cancel := context.WithTimeout(context.Background(), f.Within)
	defer cancel()
	err := h.opts.Flush(ctx)
	if err != nil {
		h.opts.Logger.WarnContext(ctx, "the peer was not brought up to date for a switchover", "err", err)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.conn == conn {
		h.send(message{Flushed: &flushed{ID: f.ID, OK: err == nil}})
	}
}

func (h *Handle) take(m message) {
	switch {
	case m.State != nil:
		h.publish(*m.State)
	case m.Reply != nil:
		h.answer(*m.Reply)
	case m.Note != nil:
		h.heed(*m.Note)
	case m.Agreed != 0 && h.opts.Agreed != nil:
		h.opts.Agreed(m.Agreed)
	}
}

func (h *Handle) heed(n note) {
	switch {
	case n.Err != "":
		h.opts.Logger.Error("sentinel failure", "doing", n.Text, "err", n.Err)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.failure = n.Text + ": " + n.Err
	case n.Warn:
		h.opts.Logger.Warn("pair problem", "problem", n.Text)
	default:
		h.opts.Logger.Info("pair decision", "reason", n.Text)
	}
}

// ended publishes that nobody renews the lease, until the next process reports.
func (h *Handle) ended(died error) {
	h.mu.Lock()
	s, failure := h.state, h.failure
	h.mu.Unlock()
	if failure == "" {
		failure = fmt.Sprint(died)
	}
	s.LeaseHeld = false
	s.Problems = []string{"the sentinel, which holds the virtual addresses, has ended and is started again (" + failure + ")"}
	h.publish(s)
}

// publish keeps only the latest state for a reader that is behind.
func (h *Handle) publish(s lb.PairStatus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.state = s
	select {
	case <-h.states:
	default:
	}
	h.states <- s
}

func (h *Handle) answer(r reply) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if c, ok := h.orders[r.ID]; ok {
		c <- r.Refused
		delete(h.orders, r.ID)
	}
}

// Configure replaces the whole configuration.
func (h *Handle) Configure(c Config) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.cfg == nil
	h.cfg = &c
	h.send(message{Configure: h.cfg})
	if first {
		// The sentinel heeds nothing before its first configuration.
		h.send(message{Synced: &h.synced})
	}
}

// Progress says that the main daemon works; call it from a real work loop about
// once per heartbeat period, and at least three times within StallTimeout.
func (h *Handle) Progress() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.progress++
	b, err := encode(message{Progress: h.progress})
	if h.conn == nil || err != nil {
		return
	}
	// A frozen sentinel must not stop the loop that proves this daemon alive.
	_ = h.conn.SetWriteDeadline(time.Now().Add(moment))
	_, _ = h.conn.Write(b)
}

// Synced tells whether the persistence table is in sync with the peer's.
func (h *Handle) Synced(ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.synced != ok {
		h.synced = ok
		h.send(message{Synced: &ok})
	}
}

// Command gives an operator's order. The error says why it was refused; nil means
// that the change has begun, and States shows it done some milliseconds later.
func (h *Handle) Command(ctx context.Context, verb Command) error {
	answer := make(chan string, 1)
	h.mu.Lock()
	if h.conn == nil {
		h.mu.Unlock()
		return errors.New("the sentinel is not running: try again in a moment")
	}
	h.lastID++
	id := h.lastID
	h.orders[id] = answer
	h.send(message{Command: &order{ID: id, Verb: verb}})
	h.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	select {
	case refused := <-answer:
		if refused != "" {
			return errors.New(refused)
		}
		return nil
	case <-ctx.Done():
		h.mu.Lock()
		delete(h.orders, id)
		h.mu.Unlock()
		return fmt.Errorf("wait for the sentinel's answer: %w", ctx.Err())
	}
}

// States delivers every change of the pair and a report each second; a slow reader
// gets the latest only.
func (h *Handle) States() <-chan lb.PairStatus { return h.states }

// State is the latest report, the zero value before the first.
func (h *Handle) State() lb.PairStatus {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state
}
