package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// haproxyConfig makes HAProxy do what the reference configuration asks of VIP 1
// (guide 10.1): TCP mode on both ports, port blank, least connections, source-IP
// persistence, the same health check; with splice, as it is fastest.
func haproxyConfig(servers []netip.Addr) string {
	var b strings.Builder
	b.WriteString(`global
	maxconn 4000
	tune.pipesize 262144
defaults
	mode tcp
	timeout connect 4s
	timeout client 5m
	timeout server 5m
	option splice-auto
	option redispatch
	retries 3
listen management
	bind :8080
	bind :8443
	balance leastconn
	stick-table type ip size 100k expire 30m
	stick on src
	option httpchk GET /admin/status
	http-check expect string Healthy
`)
	for i, s := range servers {
		fmt.Fprintf(&b, "\tserver s%d %s check port 8443 check-ssl verify none inter 500ms fall 3 rise 1\n", i+1, s)
	}
	return b.String()
}

// startHAProxy starts HAProxy and waits until it accepts connections.
func (l *Lab) startHAProxy(ctx context.Context, n *Node) error {
	path, err := exec.LookPath("haproxy")
	if err != nil {
		return fmt.Errorf("%w: haproxy is missing: apt-get install haproxy", ErrCannot)
	}
	file := filepath.Join(n.dir, "haproxy.cfg")
	if err = os.WriteFile(file, []byte(haproxyConfig(n.Servers)), 0o600); err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	p, err := n.spawn([]string{path, "-db", "-f", file}, l.logPath(n.Name), nil, func(string) {})
	if err != nil {
		return err
	}
	n.mu.Lock()
	n.proc = p
	n.mu.Unlock()
	return l.accepting(ctx, n, p)
}

// accepting waits until the program listens on port 8080.
func (l *Lab) accepting(ctx context.Context, n *Node, p *Process) error {
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	to := netip.AddrPortFrom(n.Addr(4), 8080).String()
	for {
		var c net.Conn
		err := n.ns.Do(func() (err error) {
			c, err = (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp4", to)
			return err
		})
		if err == nil {
			return c.Close()
		}
		select {
		case <-p.done:
			return fmt.Errorf("haproxy ended before it was ready (%w): see %s: %s", exitError(p.err), l.logPath(n.Name), lastLine(l.logPath(n.Name)))
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("haproxy is not ready after %s: see %s", readyTime, l.logPath(n.Name)), err)
		case <-tick.C:
		}
	}
}
