package memory

import (
	"fmt"
	"io"
	"strings"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/maglev"
	"github.com/vosbed/vosbed/appliance/internal/plan"
	"github.com/vosbed/vosbed/appliance/lb"
)

// Dump writes what an engine would be programmed with, as text for `lbctl plan`
// and golden tests. The share of a server is its part of all Maglev slots, or of
// the weights.
func Dump(w io.Writer, t plan.L4Table) error {
	var b strings.Builder
	fmt.Fprintf(&b, "lease %s\n", map[bool]string{true: "guards the addresses", false: "not used (no peer)"}[t.Leased])
	for _, s := range t.Services {
		dumpService(&b, s)
	}
	for _, v := range t.OtherVIPs {
		fmt.Fprintf(&b, "address %s on %s: guarded, served by layer 7\n", v.Addr, v.Interface)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func dumpService(b *strings.Builder, s plan.L4Service) {
	fmt.Fprintf(b, "service %s: %s %s ports %s (%d) on %s\n", s.Name, s.Addr, s.Protocols, s.Ports, s.Ports.Len(), s.Interface)
	fmt.Fprintf(b, "  schedule %s, persistence %s\n", s.Scheduler, persistence(s))
	shares := sharesOf(s)
	for i, r := range s.Reals {
		fmt.Fprintf(b, "  server %s %s weight %d %s, new clients %.1f %%%s\n",
			r.Name, r.Addr, r.Weight, r.State, 100*shares[i], limits(r))
	}
}

func persistence(s plan.L4Service) string {
	if s.Persistence.Kind == lb.PersistNone {
		return "none"
	}
	svc := service{spec: s}
	return fmt.Sprintf("%s /%d /%d for %s", s.Persistence.Kind, s.Persistence.Mask4, s.Persistence.Mask6, svc.timeout())
}

func limits(r plan.L4Real) string {
	if r.MaxConns == 0 {
		return ""
	}
	limited := backend{spec: r}
	return fmt.Sprintf(", at most %d connections (again from %d)", r.MaxConns, limited.resumeAt())
}

func sharesOf(s plan.L4Service) []float64 {
	var (
		backends []maglev.Backend
		shares   = make([]float64, len(s.Reals))
		total    float64
	)
	for i, r := range s.Reals {
		if r.State != lb.Serving || r.Weight <= 0 {
			continue
		}
		shares[i] = float64(r.Weight)
		total += shares[i]
		backends = append(backends, maglev.Backend{Name: r.Name + "\x00" + r.Addr.String(), ID: uint16(i), Weight: r.Weight})
	}
	if s.Scheduler == lb.Maglev {
		clear(shares)
		total = 0
		for _, v := range maglev.Table(backends) {
			shares[v-1]++
			total++
		}
	}
	for i := range shares {
		shares[i] /= max(total, 1)
	}
	return shares
}
