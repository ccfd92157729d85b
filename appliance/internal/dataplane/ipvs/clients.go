package ipvs

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/vosbed/vosbed/appliance/lb"
)

// template is a line of the kernel's connection table that ties a client to a server.
type template struct {
	client, server netip.Addr
	mark           uint32
	expires        time.Duration
}

// Export lists the clients that are tied to servers. IPVS can neither make nor remove a
// single entry: that face is missing.
func (p *Plane) Export(context.Context) ([]lb.PersistenceEntry, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.conns.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read the kernel's connection table: %w", err)
	}
	var out []lb.PersistenceEntry
	lines := bufio.NewScanner(p.conns)
	for lines.Scan() {
		t, ok := parseTemplate(lines.Text())
		if !ok {
			continue
		}
		if e, ok := p.entry(t); ok {
			out = append(out, e)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read the kernel's connection table: %w", err)
	}
	return out, nil
}

// entry names the service and the server of a template, if they are there.
func (p *Plane) entry(t template) (lb.PersistenceEntry, bool) {
	for _, s := range p.table.services {
		if s.mark != t.mark || s.flags&flagPersistent == 0 {
			continue
		}
		for _, d := range s.dests {
			if d.addr == t.server {
				idle := max(0, time.Duration(s.timeout)*time.Second-t.expires)
				return lb.PersistenceEntry{Service: s.name, Client: t.client, Server: d.name, Idle: idle}, true
			}
		}
	}
	return lb.PersistenceEntry{}, false
}

// parseTemplate reads a line of /proc/net/ip_vs_conn: protocol, client and port, service
// and port, server and port, state, seconds until it expires. A template has the protocol
// IP, and the mark in the place of the service's address.
func parseTemplate(line string) (t template, ok bool) {
	f := strings.Fields(line)
	if len(f) < 9 || f[0] != "IP" {
		return t, false
	}
	client, ok1 := parseAddr(f[1])
	mark, ok2 := parseAddr(f[3])
	server, ok3 := parseAddr(f[5])
	seconds, err := strconv.ParseUint(f[8], 10, 31)
	if !ok1 || !ok2 || !ok3 || err != nil {
		return t, false
	}
	return template{client, server, binary.BigEndian.Uint32(mark.AsSlice()), time.Duration(seconds) * time.Second}, true
}

// parseAddr reads eight hexadecimal digits (IPv4) or an IPv6 address, in brackets or not.
func parseAddr(text string) (netip.Addr, bool) {
	if b, err := hex.DecodeString(text); err == nil && len(b) == 4 {
		return netip.AddrFromSlice(b)
	}
	a, err := netip.ParseAddr(strings.Trim(text, "[]"))
	return a, err == nil && a.Is6() && a.Zone() == ""
}
