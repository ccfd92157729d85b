package harness

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/vosbed/vosbed/harness/report"
	"github.com/vosbed/vosbed/harness/scenario"
	"github.com/vosbed/vosbed/harness/topo"
)

// progress writes what happens, line by line, for a person who waits.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	color bool
}

func newProgress(out io.Writer, color bool) *progress {
	if out == nil {
		out = io.Discard
	}
	return &progress{out: out, color: color}
}

// SGR codes.
const (
	bold  = "1"
	faint = "2"
	red   = "31"
)

func (p *progress) paint(code, text string) string {
	if !p.color {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (p *progress) printf(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format, args...)
}

// Begin announces a step.
func (p *progress) Begin(at time.Duration, depth int, what string) {
	if depth > 0 { // a trial says its outcome in one line
		return
	}
	p.printf("%s  %s\n", p.paint(faint, clock(at)), what)
}

// Note adds a remark.
func (p *progress) Note(at time.Duration, text string) {
	p.printf("%s  %s\n", p.paint(faint, clock(at)), p.paint(faint, "· "+text))
}

func (p *progress) fail(at time.Duration, err error) {
	p.printf("%s  %s\n", p.paint(faint, clock(at)), p.paint(red, "✗ "+err.Error()))
}

func clock(d time.Duration) string { return fmt.Sprintf("%8.3f s", d.Seconds()) }

// header shows what is going to be run, and on what.
func (p *progress) header(scn *scenario.Scenario, plan *topo.Plan, opt Options) {
	title := scn.Title
	if title == "" {
		title = scn.About
	}
	p.printf("%s  %s\n", p.paint(bold, scn.Name), title)
	if opt.Mutant != "" {
		p.printf("mutant %s\n", p.paint(bold, opt.Mutant))
	}
	p.printf("\n%s\n", Picture(plan))
}

// summary shows the verdict and where to read on.
func (p *progress) summary(dir string) error {
	res, err := report.Read(dir)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintln(p.out)
	if err = report.Summary(p.out, res, p.color); err != nil {
		return fmt.Errorf("write summary: %w", err)
	}
	fmt.Fprint(p.out, outages(res))
	_, err = fmt.Fprintf(p.out, "\nreport: %s/%s\n", dir, report.FileHTML)
	return err
}

// Picture draws a topology as text: one line per node, grouped by network.
func Picture(plan *topo.Plan) string {
	var b strings.Builder
	for _, seg := range plan.Networks {
		if seg.Direct {
			fmt.Fprintf(&b, "  %s %s %s  (%s)\n", seg.Ports[0].Node, "────", seg.Ports[1].Node, seg.Name)
		}
	}
	for _, seg := range plan.Networks {
		if seg.Direct {
			continue
		}
		fmt.Fprintf(&b, "  %s  %s\n", seg.Name, prefixes(seg))
		for i, port := range seg.Ports {
			branch := "├──"
			if i == len(seg.Ports)-1 {
				branch = "└──"
			}
			fmt.Fprintf(&b, "  %s %-8s %-9s %-16s %s\n", branch, port.Node, plan.Node(port.Node).Kind, firstAddr(port), remark(plan, plan.Node(port.Node)))
		}
	}
	return b.String()
}

func prefixes(seg *topo.Segment) string {
	var parts []string
	if seg.IP4.IsValid() {
		parts = append(parts, seg.IP4.String())
	}
	if seg.IP6.IsValid() {
		parts = append(parts, seg.IP6.String())
	}
	return strings.Join(parts, "  ")
}

func firstAddr(p *topo.Port) string {
	if len(p.Addrs) == 0 {
		return ""
	}
	return p.Addrs[0].Addr().String()
}

func remark(plan *topo.Plan, m *topo.Machine) string {
	var parts []string
	if m.Role != "" {
		parts = append(parts, m.Role)
	}
	for _, v := range m.VIPs {
		if v.Is4() {
			parts = append(parts, "VIP "+v.String()+" ("+plan.VIPName(v)+")")
		}
	}
	if m.ARP == "unsolved" {
		parts = append(parts, "ARP problem unsolved")
	}
	return strings.Join(parts, ", ")
}
