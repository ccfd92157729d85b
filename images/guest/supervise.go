package guest

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Restart delays of a service: soon, then slower.
const (
	firstDelay = time.Second
	maxDelay   = 30 * time.Second
	steadyTime = time.Minute // a life that long starts the delays anew
	stopTime   = 10 * time.Second
)

// service is a program that is kept running.
type service struct {
	name string
	argv []string
	log  io.Writer
	// ended is told how each life ended.
	ended func(error)
}

// children are the processes that are waited for by those who started them.
type children struct {
	mu   sync.Mutex
	pids map[int]bool
}

// run keeps a service running until ctx ends.
func (c *children) run(ctx context.Context, s service, log *slog.Logger) {
	delay := firstDelay
	for ctx.Err() == nil {
		began := time.Now()
		err := c.once(ctx, s)
		if ctx.Err() != nil {
			return
		}
		s.ended(err)
		log.WarnContext(ctx, "a service ended, starting it again", "service", s.name, "err", err, "delay", delay)
		if time.Since(began) > steadyTime {
			delay = firstDelay
		}
		select {
		case <-ctx.Done():
		case <-time.After(delay):
		}
		delay = min(2*delay, maxDelay)
	}
}

// once is one life of a service. It is asked to end when ctx ends.
func (c *children) once(ctx context.Context, s service) error {
	cmd := exec.CommandContext(ctx, s.argv[0], s.argv[1:]...)
	cmd.Env = []string{"PATH=" + searchPath, "HOME=/root", "TERM=linux"}
	cmd.Stdout, cmd.Stderr = s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return cmd.Process.Signal(unix.SIGTERM) }
	cmd.WaitDelay = stopTime
	return c.wait(cmd)
}

// wait starts a program and waits until it has ended.
func (c *children) wait(cmd *exec.Cmd) error {
	c.mu.Lock() // the reaper must not see the child before it is known
	err := cmd.Start()
	if err == nil {
		c.pids[cmd.Process.Pid] = true
	}
	c.mu.Unlock()
	if err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	err = cmd.Wait()
	c.mu.Lock()
	delete(c.pids, cmd.Process.Pid)
	c.mu.Unlock()
	return err
}

// reap ends zombies that were left to the first process by those who started them.
func (c *children) reap() {
	c.mu.Lock()
	defer c.mu.Unlock()
	self := strconv.Itoa(os.Getpid())
	tasks, _ := os.ReadDir("/proc/" + self + "/task")
	for _, t := range tasks {
		list, err := os.ReadFile("/proc/" + self + "/task/" + t.Name() + "/children")
		if err != nil {
			continue
		}
		for text := range strings.FieldsSeq(string(list)) {
			if pid, err := strconv.Atoi(text); err == nil && !c.pids[pid] {
				_, _ = unix.Wait4(pid, nil, unix.WNOHANG, nil)
			}
		}
	}
}

// reapUntil reaps whenever a child has ended.
func (c *children) reapUntil(ctx context.Context, ended <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-ended:
			c.reap()
		}
	}
}

// stopAll asks the children to end and kills those that have not within that time.
func (c *children) stopAll(within time.Duration) {
	c.each(unix.SIGTERM)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	late := time.After(within)
	for c.each(0) > 0 {
		select {
		case <-tick.C:
		case <-late:
			c.each(unix.SIGKILL)
			return
		}
	}
}

// each sends a signal to the group of every child and returns how many there are.
func (c *children) each(s unix.Signal) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	for pid := range c.pids {
		_ = unix.Kill(-pid, s)
	}
	return len(c.pids)
}
