package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/topo"
)

// maxToolOutput bounds what is kept of a program's standard output, in bytes.
const maxToolOutput = 1 << 20

// Tool is a program of the host that runs in a clients node: a real player.
type Tool struct {
	Node    string
	Log     string // name of its log, of this run alone
	Argv    []string
	Timeout time.Duration
}

// Ended is how a tool ended.
type Ended struct {
	Out string // standard output
	Err string // standard error
	// Failure is nil if it ended by itself with status 0 in time.
	Failure error
}

// RunTool runs a program until it ends, its time is up or ctx ends. Its output
// goes to the log as well. The error is about the lab, not about the program.
func (l *Lab) RunTool(ctx context.Context, t Tool) (Ended, error) {
	n := l.nodes[t.Node]
	if n == nil || n.Kind != topo.KindClients {
		return Ended{}, fmt.Errorf("%s: node %s is no clients node", t.Argv[0], t.Node)
	}
	path, err := exec.LookPath(t.Argv[0])
	if err != nil {
		return Ended{}, fmt.Errorf("%w: %w", ErrCannot, err)
	}
	log := l.logPath(t.Log)
	head := strings.Join(t.Argv, " ") + "\n"
	if err = os.WriteFile(log, []byte(head), 0o644); err != nil {
		return Ended{}, fmt.Errorf("open log: %w", err)
	}
	var out strings.Builder
	p, err := n.spawn(append([]string{path}, t.Argv[1:]...), log, nil, func(line string) {
		if out.Len() < maxToolOutput {
			out.WriteString(line + "\n")
		}
	})
	if err != nil {
		return Ended{}, err
	}
	end := Ended{Failure: p.end(ctx, t.Timeout)}
	text, err := os.ReadFile(log)
	if err != nil {
		return Ended{}, fmt.Errorf("read log: %w", err)
	}
	end.Out, end.Err = out.String(), strings.TrimPrefix(string(text), head)
	return end, errors.Join(appendText(log, end.Out), context.Cause(ctx))
}

// end waits for the program for at most timeout and kills it then.
func (p *Process) end(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	select {
	case <-p.done:
		return p.err
	case <-ctx.Done():
	}
	_ = unix.Kill(-p.PID(), unix.SIGKILL)
	<-p.done
	return fmt.Errorf("did not end within %s", timeout)
}

func appendText(path, text string) error {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return fmt.Errorf("open log: %w", err)
	}
	_, err = f.WriteString(text)
	return errors.Join(err, f.Close())
}
