package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness/topo"
	"github.com/vosbed/vosbed/simvos/control"
)

// maxSocketPath is the kernel's bound on a unix socket's path.
const maxSocketPath = 107

// Socket returns the path of the node's control or API socket.
func (n *Node) Socket() string { return filepath.Join(n.dir, "api.sock") }

func (n *Node) checkSocket() error {
	if len(n.Socket()) > maxSocketPath {
		return fmt.Errorf("%w: the path %s is too long for a socket: choose a shorter --out", ErrCannot, n.Socket())
	}
	return nil
}

func (l *Lab) startSimVOS(ctx context.Context, n *Node) error {
	if err := n.checkSocket(); err != nil {
		return err
	}
	argv := []string{
		filepath.Join(l.opt.Bin, "simvos"), "run", "--name", n.Name, "--id", strconv.Itoa(n.ID),
		"--iface", n.Service().Iface, "--control", n.Socket(),
	}
	for _, v := range n.VIPs {
		argv = append(argv, "--vip", v.String())
	}
	if n.ARP != "" && len(n.VIPs) > 0 {
		argv = append(argv, "--arp", n.ARP)
	}
	return l.startReady(ctx, n, argv, func(line string) bool {
		var r struct{ Event string }
		return json.Unmarshal([]byte(line), &r) == nil && r.Event == "READY"
	})
}

func (l *Lab) startAppliance(ctx context.Context, n *Node) error {
	if err := n.checkSocket(); err != nil {
		return err
	}
	bpf, state, etc := filepath.Join(n.dir, "bpf"), filepath.Join(n.dir, "state"), filepath.Join(n.dir, "etc")
	if err := l.mountBPF(bpf); err != nil {
		return err
	}
	for _, dir := range []string{state, etc} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make a folder of the node: %w", err)
		}
	}
	file, err := l.writeConfig(n)
	if err != nil {
		return err
	}
	argv := []string{
		filepath.Join(l.opt.Bin, "lbd"), "run", "--config", file, "--state", state,
		"--socket", n.Socket(), "--bpffs", bpf, "--etc", etc, // the machine's own files are not the lab's
	}
	if l.opt.Dataplane != "" {
		argv = append(argv, "--dataplane", l.opt.Dataplane)
	}
	return l.startReady(ctx, n, argv, func(line string) bool {
		var r struct{ Ready bool }
		return json.Unmarshal([]byte(line), &r) == nil && r.Ready
	})
}

// writeConfig writes the node's configuration and pairing secret, if it has one, once.
func (l *Lab) writeConfig(n *Node) (string, error) {
	file := filepath.Join(n.dir, "config.yaml")
	if _, err := os.Stat(file); err == nil {
		return file, nil
	}
	if secret := l.opt.Secrets[n.Name]; secret != "" {
		if err := os.WriteFile(filepath.Join(n.dir, "secret"), []byte(secret), 0o600); err != nil {
			return "", fmt.Errorf("write pairing secret: %w", err)
		}
	}
	if err := os.WriteFile(file, l.opt.Configs[n.Name], 0o600); err != nil {
		return "", fmt.Errorf("write configuration: %w", err)
	}
	return file, nil
}

// SecretPath returns where the pairing secret of a node will lie.
func SecretPath(dir, node string) string { return filepath.Join(dir, "nodes", node, "secret") }

// mountBPF mounts a BPF file system that belongs to the node, not to its process:
// pinned maps survive the daemon. It lives in the run's private mount namespace.
func (l *Lab) mountBPF(dir string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if slices.Contains(l.mounts, dir) {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make bpffs folder: %w", err)
	}
	if err := unix.Mount("bpffs", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("%w: mount a BPF file system (CONFIG_BPF_SYSCALL is needed): %w", ErrCannot, err)
	}
	l.mounts = append(l.mounts, dir)
	return nil
}

// Control returns a client of a simulated server's control socket.
func (n *Node) Control() *control.Client { return control.NewClient(n.Socket()) }

// Ledger returns what a simulated server has seen.
func (l *Lab) Ledger(ctx context.Context, node string) (control.Status, error) {
	n := l.nodes[node]
	if n == nil || n.Kind != topo.KindSimVOS {
		return control.Status{}, fmt.Errorf("node %s is no simulated server", node)
	}
	c := n.Control()
	defer c.Close()
	return c.Status(ctx)
}

// dialUnix is the transport of API calls.
func dialUnix(path string) func(ctx context.Context, _, _ string) (net.Conn, error) {
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", path)
	}
}
