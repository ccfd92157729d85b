package support

import (
	"bytes"
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// JSON is a source whose text is a value.
func JSON[T any](name string, ask func(context.Context) (T, error)) Source {
	return Source{name, func(ctx context.Context) ([]byte, error) {
		v, err := ask(ctx)
		if err != nil {
			return nil, err
		}
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		err = e.Encode(v)
		return b.Bytes(), err
	}}
}

// MachineSources are what the kernel tells of itself, and the goroutines of this process.
// pins is the directory of the kernel state that outlives the daemon, "" = there is none.
func MachineSources(pins string) []Source {
	return []Source{
		{"machine/kernel.txt", kernel},
		{"machine/sysctl.txt", func(context.Context) ([]byte, error) { return sortedLines(Sysctls()), nil }},
		proc("machine/loadavg.txt", "/proc/loadavg"),
		proc("machine/meminfo.txt", "/proc/meminfo"),
		proc("machine/uptime.txt", "/proc/uptime"),
		proc("machine/softnet_stat.txt", "/proc/net/softnet_stat"),
		proc("machine/snmp.txt", "/proc/net/snmp"),
		proc("machine/sockstat.txt", "/proc/net/sockstat"),
		proc("machine/daemon-status.txt", "/proc/self/status"),
		proc("machine/daemon-limits.txt", "/proc/self/limits"),
		{"network/interfaces.txt", linksText},
		{"network/routes.txt", routesText},
		{"network/neighbours.txt", neighboursText},
		{"network/pinned-state.txt", func(context.Context) ([]byte, error) { return pinned(pins) }},
		{"goroutines.txt", goroutines},
	}
}

// proc is a file of the kernel, of bounded size.
func proc(name, path string) Source {
	return Source{name, func(context.Context) ([]byte, error) {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return io.ReadAll(io.LimitReader(f, 1<<20))
	}}
}

func kernel(context.Context) ([]byte, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, err
	}
	text := func(field []byte) string { return unix.ByteSliceToString(field) }
	return fmt.Appendf(nil, "%s %s %s %s\n", text(u.Sysname[:]), text(u.Release[:]), text(u.Version[:]), text(u.Machine[:])), nil
}

func sortedLines(m map[string]string) []byte {
	var b bytes.Buffer
	for _, key := range slices.Sorted(maps.Keys(m)) {
		fmt.Fprintf(&b, "%s = %s\n", key, m[key])
	}
	return b.Bytes()
}

func linksText(context.Context) ([]byte, error) {
	all, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	for _, l := range all {
		a := l.Attrs()
		fmt.Fprintf(&b, "%d %s type %s state %s flags %s mtu %d mac %s master %d\n", a.Index, a.Name, l.Type(), a.OperState, a.Flags, a.MTU, a.HardwareAddr, a.MasterIndex)
		if s := a.Statistics; s != nil {
			fmt.Fprintf(&b, "  received %d packets %d bytes %d errors %d dropped; sent %d packets %d bytes %d errors %d dropped\n",
				s.RxPackets, s.RxBytes, s.RxErrors, s.RxDropped, s.TxPackets, s.TxBytes, s.TxErrors, s.TxDropped)
		}
		addrs, err := netlink.AddrList(l, unix.AF_UNSPEC)
		if err != nil {
			fmt.Fprintf(&b, "  addresses not read: %v\n", err)
		}
		for _, addr := range addrs {
			fmt.Fprintf(&b, "  %s\n", addr)
		}
	}
	return b.Bytes(), nil
}

func routesText(context.Context) ([]byte, error) {
	all, err := netlink.RouteListFiltered(unix.AF_UNSPEC, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, err
	}
	return each(all, func(r netlink.Route) string { return r.String() }), nil
}

func neighboursText(context.Context) ([]byte, error) {
	all, err := netlink.NeighList(0, unix.AF_UNSPEC)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b netlink.Neigh) int {
		return cmp.Or(cmp.Compare(a.LinkIndex, b.LinkIndex), bytes.Compare(a.IP, b.IP))
	})
	return each(all, func(n netlink.Neigh) string {
		return fmt.Sprintf("interface %d %s mac %s state %#x", n.LinkIndex, n.IP, n.HardwareAddr, n.State)
	}), nil
}

// mostLines bounds a list of the kernel.
const mostLines = 20_000

func each[T any](all []T, text func(T) string) []byte {
	var b bytes.Buffer
	for _, one := range all[:min(len(all), mostLines)] {
		b.WriteString(text(one) + "\n")
	}
	if len(all) > mostLines {
		fmt.Fprintf(&b, "and %d more\n", len(all)-mostLines)
	}
	return b.Bytes()
}

// pinned lists the kernel state that outlives the daemon; what the tables hold is in the
// status.
func pinned(dir string) ([]byte, error) {
	if dir == "" {
		return nil, errors.New("no kernel state outlives the daemon (--bpffs)")
	}
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && b.Len() < 1<<20 {
			fmt.Fprintf(&b, "%s %s\n", d.Type(), path)
		}
		return err
	})
	return []byte(b.String()), err
}

func goroutines(context.Context) ([]byte, error) {
	var b bytes.Buffer
	err := pprof.Lookup("goroutine").WriteTo(&b, 2)
	return b.Bytes(), err
}

// PublicPart returns the certificates of a PEM file, in words and in PEM, and nothing
// else of it.
func PublicPart(file []byte) (text []byte, leaf Certificate, err error) {
	var b bytes.Buffer
	for block, rest := pem.Decode(file); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, leaf, err
		}
		if b.Len() == 0 {
			leaf = Certificate{NotBefore: c.NotBefore, NotAfter: c.NotAfter}
		}
		fmt.Fprintf(&b, "subject %s\nissuer %s\nserial %x\nvalid from %s to %s\nnames %v %v\n", c.Subject, c.Issuer, c.SerialNumber, c.NotBefore.UTC(), c.NotAfter.UTC(), c.DNSNames, c.IPAddresses)
		b.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes}))
	}
	if b.Len() == 0 {
		return nil, leaf, errors.New("there is no certificate in it")
	}
	return b.Bytes(), leaf, nil
}
