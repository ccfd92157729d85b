package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/observe"
	"github.com/vosbed/vosbed/harness/traffic"
)

// Agent is a load that runs in a process of its own.
type Agent struct {
	name  string
	proc  *Process
	stdin *os.File
}

// agentEnd bounds the wait for an agent's last records.
const agentEnd = 15 * time.Second

// Prepare resolves a load's names and gives it its client addresses: count of
// them after skip of the pool of its node.
func (l *Lab) Prepare(s traffic.Spec, skip int) (traffic.Spec, error) {
	to, err := l.plan.Resolve(s.To)
	if err != nil {
		return s, err
	}
	s.To = to
	s.Epoch = l.opt.Epoch
	n := l.nodes[s.From]
	if n == nil {
		return s, fmt.Errorf("load %s: no node %q", s.Name, s.From)
	}
	if s.Clients > 0 {
		s.Sources, err = n.Clients(family(to), skip, s.Clients)
	}
	return s, err
}

func family(to string) int {
	host, _, err := net.SplitHostPort(to)
	if err != nil {
		host = to
	}
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		return 6
	}
	return 4
}

// StartLoad starts the agent of a prepared load.
func (l *Lab) StartLoad(s traffic.Spec) (*Agent, error) {
	spec, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", s.Name, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", s.Name, err)
	}
	defer r.Close()
	p, err := l.nodes[s.From].spawn([]string{l.opt.Self, "agent"}, l.logPath("load-"+s.Name), r, func(line string) {
		l.agentLine(s, line)
	})
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("load %s: %w", s.Name, err)
	}
	if _, err := w.Write(append(spec, '\n')); err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("load %s: hand over its spec: %w", s.Name, err)
	}
	a := &Agent{name: s.Name, proc: p, stdin: w}
	l.mu.Lock()
	l.agents[s.Name] = a
	l.mu.Unlock()
	return a, nil
}

// agentLine takes one record of an agent into the history.
func (l *Lab) agentLine(s traffic.Spec, line string) {
	var r observe.Record
	if err := json.Unmarshal([]byte(line), &r); err != nil {
		l.opt.Logger.Warn("agent wrote no record", "load", s.Name, "err", err)
		return
	}
	if r.Node == "" {
		r.Node = s.From
	}
	l.append(r)
}

// Load returns the running or ended agent of a load, or nil.
func (l *Lab) Load(name string) *Agent {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.agents[name]
}

// Running reports whether the agent still works.
func (a *Agent) Running() bool {
	select {
	case <-a.proc.done:
		return false
	default:
		return true
	}
}

// Wait waits until the load has ended by itself.
func (a *Agent) Wait(ctx context.Context) error {
	select {
	case <-a.proc.done:
		_ = a.stdin.Close()
		if a.proc.err != nil {
			return fmt.Errorf("load %s: %w", a.name, a.proc.err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Stop asks the load to end and waits for its last records.
func (a *Agent) Stop(ctx context.Context) error {
	_ = a.stdin.Close()
	_ = unix.Kill(a.proc.PID(), unix.SIGTERM)
	ctx, cancel := context.WithTimeout(ctx, agentEnd)
	defer cancel()
	if err := a.Wait(ctx); err != nil {
		a.Kill()
		return fmt.Errorf("stop load %s: %w", a.name, err)
	}
	return nil
}

// Kill ends the agent at once.
func (a *Agent) Kill() {
	if a.Running() {
		_ = unix.Kill(-a.proc.PID(), unix.SIGKILL)
		<-a.proc.done
	}
}

// StopLoads stops all loads that still run.
func (l *Lab) StopLoads(ctx context.Context) {
	l.mu.Lock()
	agents := make([]*Agent, 0, len(l.agents))
	for _, a := range l.agents {
		agents = append(agents, a)
	}
	l.mu.Unlock()
	for _, a := range agents {
		if !a.Running() {
			continue
		}
		if err := a.Stop(ctx); err != nil {
			l.opt.Logger.WarnContext(ctx, "load did not end", "load", a.name, "err", err)
		}
	}
}

var _ io.Closer = (*Lab)(nil)
