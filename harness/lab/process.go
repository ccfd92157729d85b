package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// readyTime bounds the wait for a program's ready line. Like the other bounds of
// this package it is for a machine that has much else to do: nothing is judged by it.
const readyTime = time.Minute

// Process is a program that runs in a node.
type Process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended
	err  error         // valid after done
}

// spawn starts argv in the node's namespace, as a process group of its own so
// that a terminal's Ctrl-C does not reach it. Each line of standard output goes to
// onLine; standard error is appended to the log file.
func (n *Node) spawn(argv []string, logFile string, stdin io.Reader, onLine func(string)) (*Process, error) {
	return n.spawnWith(argv, logFile, stdin, nil, onLine)
}

// firstExtra is the descriptor of the first of the extra files in a program.
const firstExtra = 3

// spawnWith does the same and hands the program open files.
func (n *Node) spawnWith(argv []string, logFile string, stdin io.Reader, extra []*os.File, onLine func(string)) (*Process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	defer log.Close()
	cmd := &exec.Cmd{Path: argv[0], Args: argv, Stderr: log, Stdin: stdin, Env: os.Environ(), ExtraFiles: extra}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = 2 * time.Second
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make a pipe: %w", err)
	}
	cmd.Stdout = w
	err = n.ns.Do(cmd.Start)
	_ = w.Close()
	if err != nil {
		_ = r.Close()
		return nil, fmt.Errorf("start %s: %w", filepath.Base(argv[0]), err)
	}
	p := &Process{cmd: cmd, done: make(chan struct{})}
	go p.follow(r, onLine)
	return p, nil
}

// follow reads lines until the program ends, then reaps it.
func (p *Process) follow(r *os.File, onLine func(string)) {
	defer close(p.done)
	defer r.Close()
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 64<<10), 16<<20)
	for sc.Scan() {
		onLine(sc.Text())
	}
	p.err = p.cmd.Wait()
}

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Done is closed when the process has ended and its output has been read.
func (p *Process) Done() <-chan struct{} { return p.done }

// startReady spawns argv and waits for the first line of output for which ready
// says true.
func (l *Lab) startReady(ctx context.Context, n *Node, argv []string, ready func(string) bool) error {
	up := make(chan struct{}, 1)
	p, err := n.spawn(argv, l.logPath(n.Name), nil, func(line string) {
		if ready(line) {
			select {
			case up <- struct{}{}:
			default:
			}
		}
	})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.proc = p
	n.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	select {
	case <-up:
		return nil
	case <-p.done:
		return fmt.Errorf("%s ended before it was ready (%w): see %s: %s", filepath.Base(argv[0]), exitError(p.err), l.logPath(n.Name), lastLine(l.logPath(n.Name)))
	case <-ctx.Done():
		return fmt.Errorf("%s is not ready after %s: see %s: %w", filepath.Base(argv[0]), readyTime, l.logPath(n.Name), ctx.Err())
	}
}

func exitError(err error) error {
	if err == nil {
		return errors.New("exit status 0")
	}
	return err
}

func lastLine(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return lines[len(lines)-1]
}

func (l *Lab) logPath(name string) string { return filepath.Join(l.opt.Dir, "logs", name+".log") }

// killAll sends sig to every process of the node: its program's group at once,
// then whatever else lives in its namespace.
func (n *Node) killAll(sig syscall.Signal) {
	n.mu.Lock()
	p := n.proc
	n.mu.Unlock()
	if p != nil {
		select {
		case <-p.done:
		default:
			_ = unix.Kill(-p.PID(), sig)
		}
	}
	for _, pid := range n.pids() {
		_ = unix.Kill(pid, sig)
	}
}

// pids lists the processes whose network namespace is the node's. Threads of this
// process that visit the namespace do not count: the main thread never does.
func (n *Node) pids() []int {
	var st unix.Stat_t
	if unix.Fstat(n.ns.Fd(), &st) != nil {
		return nil
	}
	dirs, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	var out []int
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		var s unix.Stat_t
		if unix.Stat("/proc/"+d.Name()+"/ns/net", &s) == nil && s.Ino == st.Ino && s.Dev == st.Dev {
			out = append(out, pid)
		}
	}
	return out
}

// wait blocks until the node's program has ended.
func (n *Node) wait(ctx context.Context) error {
	n.mu.Lock()
	p := n.proc
	n.mu.Unlock()
	if p == nil {
		return nil
	}
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Alive reports whether the node's program runs.
func (n *Node) Alive() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.proc == nil {
		return false
	}
	select {
	case <-n.proc.done:
		return false
	default:
		return true
	}
}
