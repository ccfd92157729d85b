package ebpf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"github.com/vosbed/vosbed/appliance/internal/plan"
)

// attachment is what hangs in one interface. With clsact there is nothing to hold.
type attachment struct {
	ifindex int
	links   []link.Link
}

func (a *attachment) close() error {
	var errs []error
	for _, l := range a.links {
		errs = append(errs, l.Close())
	}
	a.links = nil
	return errors.Join(errs...)
}

// hook is one of the two places of an interface.
type hook struct {
	name   string
	prog   *ebpf.Program
	tcx    ebpf.AttachType
	parent uint32 // clsact
}

func (p *Plane) hooks() []hook {
	return []hook{
		{"egress", p.objs.Egress, ebpf.AttachTCXEgress, netlink.HANDLE_MIN_EGRESS},
		{"ingress", p.objs.Ingress, ebpf.AttachTCXIngress, netlink.HANDLE_MIN_INGRESS},
	}
}

// attachAll makes every interface that carries a VIP run the programs, and no other.
// down are the interfaces of which it could not.
func (p *Plane) attachAll(t plan.L4Table) (down map[string]bool, err error) {
	wanted := map[string]bool{}
	for _, v := range addresses(t) {
		wanted[v.Interface] = true
	}
	var errs []error
	down = map[string]bool{}
	for name := range wanted {
		if err := p.attach(name); err != nil {
			errs = append(errs, fmt.Errorf("attach the data plane to interface %s: %w", name, err))
			down[name] = true
		}
	}
	for name, a := range p.ifaces {
		if !wanted[name] {
			errs = append(errs, p.detach(a))
			delete(p.ifaces, name)
		}
	}
	return down, errors.Join(append(errs, p.unpinStrangers(), p.dropFilters())...)
}

// reattach hangs the programs into interfaces that were made anew.
func (p *Plane) reattach() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.objs == nil || !p.serving {
		return nil
	}
	_, err := p.attachAll(p.table)
	if !p.set {
		return nil // the Set that failed is being repeated, and reports
	}
	return err
}

func (p *Plane) attach(name string) error {
	l, err := p.nl.LinkByName(name)
	if err != nil {
		return err
	}
	index := l.Attrs().Index
	if a, ok := p.ifaces[name]; ok {
		if a.ifindex == index {
			return nil
		}
		_ = a.close() // the interface was made anew; the old one took its links along
	}
	a := &attachment{ifindex: index}
	if err := p.hang(a, l); err != nil {
		return errors.Join(err, a.close())
	}
	p.ifaces[name] = a
	return nil
}

// hang chooses the mode once, at the first interface.
func (p *Plane) hang(a *attachment, l netlink.Link) error {
	want, why := p.opts.Attach, "as configured"
	if p.mode != "" {
		want, why = p.mode, p.why
	}
	if want == AttachAuto {
		err := p.hangTCX(a)
		if !errors.Is(err, ebpf.ErrNotSupported) {
			p.mode, p.why = AttachTCX, "the kernel has tcx"
			return errors.Join(err, p.removeFilters(l))
		}
		_ = a.close()
		want, why = AttachClsact, "the kernel has no tcx"
	}
	p.mode, p.why = want, why
	if want == AttachTCX {
		return errors.Join(p.hangTCX(a), p.removeFilters(l))
	}
	return errors.Join(p.hangClsact(l), p.unpinLinks(a.ifindex))
}

func (p *Plane) hangTCX(a *attachment) error {
	for _, h := range p.hooks() {
		l, err := p.adoptLink(h, a.ifindex)
		if err == nil && l == nil {
			l, err = p.newLink(h, a.ifindex)
		}
		if err != nil {
			return fmt.Errorf("tcx %s: %w", h.name, err)
		}
		a.links = append(a.links, l)
	}
	return nil
}

// adoptLink swaps the program of a pinned link in place; nil if there is none.
func (p *Plane) adoptLink(h hook, ifindex int) (link.Link, error) {
	if p.opts.PinDir == "" {
		return nil, nil
	}
	l, err := link.LoadPinnedLink(p.linkPin(h, ifindex), nil)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if alive(l, ifindex) {
		if err = l.Update(h.prog); err == nil {
			return l, nil
		}
	}
	p.log.Info("a pinned link is of no use any more", "ifindex", ifindex, "hook", h.name, "err", err)
	return nil, errors.Join(l.Unpin(), l.Close())
}

// alive says whether a link still hangs in the interface: one that was deleted and
// made anew has the same name but not its links.
func alive(l link.Link, ifindex int) bool {
	info, err := l.Info()
	return err == nil && info.TCX() != nil && int(info.TCX().Ifindex) == ifindex
}

func (p *Plane) newLink(h hook, ifindex int) (link.Link, error) {
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: h.prog, Attach: h.tcx})
	if err != nil || p.opts.PinDir == "" {
		return l, err
	}
	if err := l.Pin(p.linkPin(h, ifindex)); err != nil {
		return nil, errors.Join(fmt.Errorf("pin the link: %w", err), l.Close())
	}
	return l, nil
}

const linkPrefix = "link_"

func (p *Plane) linkPin(h hook, ifindex int) string {
	return filepath.Join(p.opts.PinDir, linkPrefix+strconv.Itoa(ifindex)+"_"+h.name)
}

func (p *Plane) unpinLinks(ifindex int) error {
	if p.opts.PinDir == "" {
		return nil
	}
	var errs []error
	for _, h := range p.hooks() {
		if err := os.Remove(p.linkPin(h, ifindex)); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("unpin a link: %w", err))
		}
	}
	return errors.Join(errs...)
}

// unpinStrangers detaches from interfaces that an earlier process served.
func (p *Plane) unpinStrangers() error {
	if p.opts.PinDir == "" {
		return nil
	}
	files, err := os.ReadDir(p.opts.PinDir)
	if err != nil {
		return fmt.Errorf("list the pinned links: %w", err)
	}
	mine := map[string]bool{}
	for _, a := range p.ifaces {
		mine[strconv.Itoa(a.ifindex)] = true
	}
	var errs []error
	for _, f := range files {
		index, _, _ := strings.Cut(strings.TrimPrefix(f.Name(), linkPrefix), "_")
		if strings.HasPrefix(f.Name(), linkPrefix) && !mine[index] {
			errs = append(errs, os.Remove(filepath.Join(p.opts.PinDir, f.Name())))
		}
	}
	return errors.Join(errs...)
}

func (p *Plane) detach(a *attachment) error {
	errs := []error{p.unpinLinks(a.ifindex), a.close()}
	if l, err := p.nl.LinkByIndex(a.ifindex); err == nil && p.mode == AttachClsact {
		errs = append(errs, p.removeFilters(l))
	}
	return errors.Join(errs...)
}

// filterName marks our clsact filters.
const filterName = "vosbed"

// hangClsact hangs the programs as classic direct-action filters. Replacing a
// filter is atomic: no packet passes between the old and the new program.
func (p *Plane) hangClsact(l netlink.Link) error {
	q := &netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{
			LinkIndex: l.Attrs().Index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
		},
		QdiscType: "clsact",
	}
	if err := p.nl.QdiscAdd(q); err != nil && !errors.Is(err, os.ErrExist) {
		return fmt.Errorf("add the clsact qdisc: %w", err)
	}
	for _, h := range p.hooks() {
		if err := p.nl.FilterReplace(filter(h, l)); err != nil {
			return fmt.Errorf("clsact %s: %w", h.name, err)
		}
	}
	return nil
}

func filter(h hook, l netlink.Link) *netlink.BpfFilter {
	return &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: l.Attrs().Index, Parent: h.parent, Handle: 1, Protocol: 0x0003, Priority: 1, // ETH_P_ALL
		},
		Fd: h.prog.FD(), Name: filterName, DirectAction: true,
	}
}

// dropFilters takes our clsact filters off the interfaces that an earlier process has
// served and this one does not, once.
func (p *Plane) dropFilters() error {
	if p.filtersDropped {
		return nil
	}
	links, err := p.nl.LinkList()
	if err != nil {
		return fmt.Errorf("look for filters of an earlier process: %w", err)
	}
	mine := map[int]bool{}
	for _, a := range p.ifaces {
		mine[a.ifindex] = true
	}
	var errs []error
	for _, l := range links {
		if !mine[l.Attrs().Index] {
			errs = append(errs, p.removeFilters(l))
		}
	}
	p.filtersDropped = errors.Join(errs...) == nil
	return errors.Join(errs...)
}

// removeFilters takes our clsact filters off, such as those of an earlier mode.
func (p *Plane) removeFilters(l netlink.Link) error {
	var errs []error
	for _, h := range p.hooks() {
		list, err := p.nl.FilterList(l, h.parent)
		if err != nil {
			continue // no clsact qdisc
		}
		for _, f := range list {
			if b, ok := f.(*netlink.BpfFilter); ok && b.Name == filterName {
				errs = append(errs, gone(p.nl.FilterDel(b)))
			}
		}
	}
	return errors.Join(errs...)
}
