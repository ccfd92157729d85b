package appliance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/internal/dataplane"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/ebpf"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/ipvs"
	"github.com/vosbed/vosbed/appliance/internal/dataplane/memory"
)

// engine is a layer-4 engine with the faces that the appliance uses. A face that
// the engine lacks is nil.
type engine struct {
	dataplane.Plane
	entries   dataplane.Entries
	stream    dataplane.Stream
	conflicts dataplane.Conflicts
	run       func(context.Context) error
	// dialVIA is for checks of DR servers by the VIP.
	dialVIA func(ctx context.Context, vip, rip netip.Addr, port uint16) (net.Conn, error)
}

// viaDialer is the face of an engine that reaches one real server by the VIP.
type viaDialer interface {
	DialVIA(ctx context.Context, vip, rip netip.Addr, port uint16) (net.Conn, error)
}

// openEngine chooses by Options.Dataplane. peers lists the other node's addresses,
// whose claims to the VIPs are no conflict.
func openEngine(o Options, peers func() []netip.Addr) (engine, error) {
	plane, err := newPlane(o, peers)
	if err != nil {
		return engine{}, err
	}
	e := engine{Plane: plane, run: func(context.Context) error { return nil }}
	e.entries, _ = plane.(dataplane.Entries)
	e.stream, _ = plane.(dataplane.Stream)
	e.conflicts, _ = plane.(dataplane.Conflicts)
	if d, ok := plane.(viaDialer); ok {
		e.dialVIA = d.DialVIA
	}
	if r, ok := plane.(interface{ Run(context.Context) error }); ok {
		e.run = r.Run
	}
	return e, nil
}

func newPlane(o Options, peers func() []netip.Addr) (dataplane.Plane, error) {
	switch o.Dataplane {
	case memoryEngine:
		return memory.New(memory.Options{Now: time.Now}), nil
	case ipvsEngine:
		return ipvs.New(ipvs.Options{})
	case "auto", "tcx", "clsact":
		if err := prepareBPFFS(o.BPFFS); err != nil {
			return nil, err
		}
		plane, err := ebpf.New(ebpf.Options{
			PinDir: o.BPFFS, Attach: ebpf.Attach(o.Dataplane), Logger: o.Logger, Peers: peers,
		})
		if errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("load the eBPF data plane (run as root, or with CAP_BPF and CAP_NET_ADMIN): %w", err)
		}
		return plane, err
	}
	return nil, fmt.Errorf("unknown data plane %q: use one of %v", o.Dataplane, Engines())
}

// prepareBPFFS makes the directory in which kernel state outlives the daemon.
func prepareBPFFS(dir string) error {
	if dir == "" {
		return nil
	}
	makeErr := os.MkdirAll(dir, 0o700)
	var at unix.Statfs_t
	if err := unix.Statfs(dir, &at); err == nil && at.Type == unix.BPF_FS_MAGIC {
		return nil
	}
	if errors.Is(makeErr, os.ErrPermission) && os.Geteuid() != 0 {
		return fmt.Errorf("make the directory of --bpffs: %w", makeErr)
	}
	return fmt.Errorf("%s does not lie on a bpffs, so nothing would outlive the daemon: "+
		`mount one there ("mount -t bpf bpf /sys/fs/bpf"), name another directory with --bpffs, or do without with --bpffs ""`, dir)
}

// peers are the other node's ends of the heartbeat paths.
func (f *facts) peers() []netip.Addr {
	cfg, _ := f.current()
	var out []netip.Addr
	for _, path := range cfg.Node.Paths {
		out = append(out, path.Peer.Addr())
	}
	return out
}

// describe asks the engine who it is; the answer may change after the first Set.
func (e engine) describe() (name, why string) {
	if d, ok := e.Plane.(dataplane.Declarer); ok {
		return d.Engine()
	}
	return "unknown", ""
}
