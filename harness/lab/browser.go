package lab

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/topo"
)

// Bounds of a browser: until it is open, and until it has ended when it is asked to.
const (
	browserOpenTime = time.Minute
	browserEndTime  = 5 * time.Second
)

// browsing is a browser that runs in a node.
type browsing struct {
	node    *Node
	proc    *Process
	stdin   *os.File
	dir     string
	answers chan browser.Answer
	turn    sync.Mutex // one order at a time
}

// Browse has the browser of a clients node do something, and opens it first if need
// be. What a page lacks is in the answer; the error says why there is none.
func (l *Lab) Browse(ctx context.Context, node string, o browser.Order) (browser.Answer, error) {
	b, err := l.browser(ctx, node)
	if err != nil {
		return browser.Answer{}, err
	}
	b.turn.Lock()
	defer b.turn.Unlock()
	return b.ask(ctx, o, o.Bound())
}

// browser returns the open browser of a node.
func (l *Lab) browser(ctx context.Context, node string) (*browsing, error) {
	l.browserMu.Lock()
	defer l.browserMu.Unlock()
	if b := l.browsers[node]; b != nil {
		return b, nil
	}
	n := l.nodes[node]
	if n == nil || n.Kind != topo.KindClients {
		return nil, fmt.Errorf("a browser runs on a clients node, not on %s", node)
	}
	program, err := exec.LookPath("chromium")
	if err != nil {
		return nil, fmt.Errorf("%w: chromium is missing: apt-get install chromium", ErrCannot)
	}
	b, err := l.startBrowser(n)
	if err != nil {
		return nil, err
	}
	l.browsers[node] = b
	hello := browser.Hello{Program: program, Dir: b.dir}
	for _, m := range l.plan.OfKind(topo.KindAppliance) {
		hello.Trust = append(hello.Trust, WebUI(m).String())
	}
	answer, err := b.ask(ctx, hello, browserOpenTime)
	if err == nil && answer.Err != "" {
		err = errors.New(answer.Err)
	}
	return b, err
}

// startBrowser starts the driver, which starts the browser, in the node's namespace.
func (l *Lab) startBrowser(n *Node) (*browsing, error) {
	b := &browsing{node: n, dir: filepath.Join(n.dir, "browser"), answers: make(chan browser.Answer, 1)}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("open a browser: %w", err)
	}
	defer r.Close()
	b.stdin = w
	b.proc, err = n.spawn([]string{l.opt.Self, "browser-agent"}, l.logPath("browser-"+n.Name), r, func(line string) {
		var a browser.Answer
		if json.Unmarshal([]byte(line), &a) != nil {
			a.Err = "the browser's driver said what it should not: " + line
		}
		select {
		case b.answers <- a:
		default: // nobody waits for it any more
		}
	})
	if err != nil {
		_ = w.Close()
		return nil, fmt.Errorf("open a browser: %w", err)
	}
	return b, nil
}

// ask writes a line and waits for its answer. A browser that gives none in time is
// ended.
func (b *browsing) ask(ctx context.Context, line any, limit time.Duration) (browser.Answer, error) {
	text, err := json.Marshal(line)
	if err != nil {
		return browser.Answer{}, fmt.Errorf("ask the browser: %w", err)
	}
	if _, err = io.Copy(b.stdin, bytes.NewReader(append(text, '\n'))); err != nil {
		return browser.Answer{}, fmt.Errorf("the browser on %s has ended", b.node.Name)
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case a := <-b.answers:
		return a, nil
	case <-b.proc.done:
		select { // it may have said why
		case a := <-b.answers:
			return a, nil
		default:
			return browser.Answer{}, fmt.Errorf("the browser on %s has ended (%w)", b.node.Name, exitError(b.proc.err))
		}
	case <-timer.C:
		b.end()
		return browser.Answer{}, fmt.Errorf("the browser on %s has not answered within %s", b.node.Name, limit)
	case <-ctx.Done():
		return browser.Answer{}, context.Cause(ctx)
	}
}

// end closes the browser, in order if it can.
func (b *browsing) end() {
	_ = b.stdin.Close()
	timer := time.NewTimer(browserEndTime)
	defer timer.Stop()
	select {
	case <-b.proc.done:
	case <-timer.C:
	}
	_ = unix.Kill(-b.proc.PID(), unix.SIGKILL) // what it left behind, too
	<-b.proc.done
}

// closeBrowsers ends every browser and removes its files.
func (l *Lab) closeBrowsers() error {
	l.browserMu.Lock()
	defer l.browserMu.Unlock()
	var errs []error
	for name, b := range l.browsers {
		b.end()
		b.node.killAll(unix.SIGKILL)
		errs = append(errs, os.RemoveAll(b.dir))
		delete(l.browsers, name)
	}
	return errors.Join(errs...)
}
