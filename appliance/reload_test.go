package appliance_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/api"
)

const aloneFile = `
node: {name: %s}
services:
  - name: web
    address: 192.168.94.110
    ports: "80"
    layer: 7
    method: proxy
    protocol: tcp
    check: {type: on}
    real_servers:
      - {name: W1, address: 192.168.94.101, port: 7000, weight: %d}
`

// alone is a node without a peer, with an echo server behind its layer 7 service.
func alone(t *testing.T) *node {
	t.Helper()
	n, _ := newPairOfNodes(t)
	n.settings("lb1", 100)
	n.must(n.ns.Do(func() error {
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			return err
		}
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "192.168.94.101:7000")
		if err == nil {
			t.Cleanup(func() { _ = ln.Close() })
			go echo(ln)
		}
		return err
	}))
	return n
}

func echo(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		go func() { _, _ = io.Copy(c, c); _ = c.Close() }()
	}
}

func (n *node) file() string { return filepath.Join(n.dir, "config.yaml") }

func (n *node) settings(name string, weight int) {
	n.t.Helper()
	n.must(os.WriteFile(n.file(), fmt.Appendf(nil, aloneFile, name, weight), 0o600))
}

// session is one connection through the layer 7 service; says sends a line and
// reports whether it came back.
type session struct {
	conn net.Conn
	back *bufio.Reader
}

func (n *node) dial() *session {
	n.t.Helper()
	var s session
	n.must(n.ns.Do(func() (err error) {
		d := net.Dialer{Timeout: 10 * time.Second}
		s.conn, err = d.DialContext(n.t.Context(), "tcp", "192.168.94.110:80")
		return err
	}))
	n.t.Cleanup(func() { _ = s.conn.Close() })
	_ = s.conn.SetDeadline(time.Now().Add(30 * time.Second))
	s.back = bufio.NewReader(s.conn)
	return &s
}

func (s *session) says(word string) error {
	if _, err := io.WriteString(s.conn, word+"\n"); err != nil {
		return err
	}
	got, err := s.back.ReadString('\n')
	if err == nil && got != word+"\n" {
		err = fmt.Errorf("%q came back as %q", word, got)
	}
	return err
}

func (n *node) serving() bool {
	for _, s := range n.status().Services {
		return n.hasVIP() && s.Servers[0].State == "serving"
	}
	return false
}

// refused asserts that a reload is refused for what the file says, with every word.
func (n *node) refused(words ...string) {
	n.t.Helper()
	err := n.client.Reload(n.t.Context())
	p, ok := errors.AsType[*api.ProblemError](err)
	if !ok || p.Problem.Status != http.StatusUnprocessableEntity {
		n.t.Fatalf("reload: %v, want it refused with 422", err)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			n.t.Errorf("the refusal lacks %q: %v", word, err)
		}
	}
}

// TestReload goes through the configuration's life: a change that leaves sessions
// alone, files that are refused and change nothing, and a restart with one of those.
func TestReload(t *testing.T) {
	n := alone(t)
	n.start()
	until(t, "the service is up", n.serving)
	s := n.dial()
	n.must(s.says("before"))

	n.settings("lb1", 50)
	n.must(n.client.Reload(t.Context()))
	until(t, "the new weight is in force", func() bool { return n.status().Services[0].Servers[0].Weight == 50 })
	n.must(s.says("a session outlives a reload"))
	revision := n.status().Revision

	n.must(os.WriteFile(n.file(), []byte("node: {name: lb1}\nservises: []\n"), 0o600))
	n.refused(`did you mean "services"`, "config.yaml:2")
	n.settings("lb7", 50)
	n.refused("node.name", "restart")
	n.must(os.Rename(n.file(), n.file()+".away"))
	n.refused("no such file")
	if got := n.status().Revision; got != revision {
		t.Errorf("refused files changed the revision from %s to %s", revision, got)
	}
	n.must(s.says("and refused ones"))

	n.must(os.WriteFile(n.file(), []byte("node: [\n"), 0o600))
	n.stop()
	n.start()
	until(t, "a restart with a broken file serves what served before", n.serving)
	n.must(n.dial().says("again"))
	if got := strings.Join(n.status().Problems, "\n"); !strings.Contains(got, "last good revision "+revision) {
		t.Errorf("revision %s is served because of a broken file, but the problems are %q", revision, got)
	}
	n.settings("lb1", 70)
	n.must(n.client.Reload(t.Context()))
	until(t, "a good file ends the problem", func() bool {
		got := n.status()
		return len(got.Problems) == 0 && got.Services[0].Servers[0].Weight == 70
	})
}

// TestReloadsQueue: whatever the order in which they are answered, the file's last
// text is in force.
func TestReloadsQueue(t *testing.T) {
	n := alone(t)
	n.start()
	until(t, "the service is up", n.serving)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	errs := make(chan error, 20)
	for i := range cap(errs) {
		n.replace(i + 1)
		go func() { errs <- n.client.Reload(ctx) }()
	}
	for range cap(errs) {
		n.must(<-errs)
	}
	until(t, "the last text is in force", func() bool { return n.status().Services[0].Servers[0].Weight == cap(errs) })
}

// replace swaps the file whole, as editors do.
func (n *node) replace(weight int) {
	n.t.Helper()
	next := n.file() + ".next"
	n.must(os.WriteFile(next, fmt.Appendf(nil, aloneFile, "lb1", weight), 0o600))
	n.must(os.Rename(next, n.file()))
}

// TestAppliedOverAChangedFile: what somebody wrote into the file and did not reload is set
// aside, and told.
func TestAppliedOverAChangedFile(t *testing.T) {
	n := alone(t)
	n.start()
	until(t, "up", func() bool { return n.status().Node != "" })
	text, err := os.ReadFile(n.file())
	n.must(err)
	mine := append(text, []byte("# my work of an hour\n")...)
	n.must(os.WriteFile(n.file(), mine, 0o600))
	n.must(n.client.EditServer(t.Context(), "", "web", "W1", api.Fields{"weight": "50"}))
	n.must(n.client.Apply(t.Context(), "", ""))
	if got, err := os.ReadFile(n.file() + ".unread"); err != nil || string(got) != string(mine) {
		t.Errorf("what was written by hand is gone: %v", err)
	}
	told := func() bool { return strings.Contains(strings.Join(n.status().Problems, "\n"), ".unread") }
	until(t, "it is told", told)
	n.must(n.client.Reload(t.Context()))
	until(t, "until a reload", func() bool { return !told() })
}
