// Package wire impairs cables with small BPF programs at the switch's side of a
// port (tcx): drop everything, drop announcements, lose a share. This kernel may
// lack netem, and a carrier that stays up while nothing passes cannot be had from
// a link's state anyway.
package wire

import (
	"errors"
	"fmt"
	"math"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// Verdicts of a tcx program.
const (
	pass = 0 // TCX_PASS
	drop = 2 // TCX_DROP
)

// Rule is one impairment. Exactly one field is set.
type Rule struct {
	All  bool    // drop every frame, both directions
	GARP bool    // drop announcements coming from the node
	Loss float64 // share of frames lost in each direction
}

// Apply attaches the rule to the interface with that index, which must be in the
// network namespace of the calling thread. The returned function removes it.
func Apply(ifindex int, r Rule) (func() error, error) {
	ins, both := program(r)
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "vosbed_wire", Type: ebpf.SchedCLS, License: "Dual BSD/GPL", Instructions: ins,
	})
	if err != nil {
		return nil, fmt.Errorf("load wire rule (CONFIG_BPF_SYSCALL is needed): %w", err)
	}
	defer p.Close()
	var links []link.Link
	undo := func() error {
		var errs []error
		for _, l := range links {
			errs = append(errs, l.Close())
		}
		return errors.Join(errs...)
	}
	attach := []ebpf.AttachType{ebpf.AttachTCXIngress}
	if both {
		attach = append(attach, ebpf.AttachTCXEgress)
	}
	for _, at := range attach {
		l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: p, Attach: at, Anchor: link.Head()})
		if err != nil {
			return nil, errors.Join(fmt.Errorf("attach wire rule (Linux 6.6 or later is needed): %w", err), undo())
		}
		links = append(links, l)
	}
	return undo, nil
}

func program(r Rule) (ins asm.Instructions, both bool) {
	switch {
	case r.GARP:
		return garp(), false
	case r.Loss > 0:
		return loss(r.Loss), true
	default:
		return asm.Instructions{asm.Mov.Imm(asm.R0, drop), asm.Return()}, true
	}
}

// loss drops when a random 32-bit number is below the share.
func loss(share float64) asm.Instructions {
	below := uint32(math.Min(share*(1<<32), math.MaxUint32))
	return asm.Instructions{
		asm.FnGetPrandomU32.Call(),
		asm.Mov.Imm32(asm.R1, int32(below)),
		asm.JLT.Reg32(asm.R0, asm.R1, "drop"),
		asm.Mov.Imm(asm.R0, pass),
		asm.Return(),
		asm.Mov.Imm(asm.R0, drop).WithSymbol("drop"),
		asm.Return(),
	}
}

// garp drops gratuitous ARP (sender address equals target address) and
// unsolicited neighbour advertisements (RFC 4861 section 4.4, S flag clear). The
// absolute loads end the program with 0, which passes, on shorter frames.
func garp() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadAbs(12, asm.Half),
		asm.JEq.Imm(asm.R0, 0x0806, "arp"),
		asm.JNE.Imm(asm.R0, 0x86dd, "pass"),
		asm.LoadAbs(20, asm.Byte),
		asm.JNE.Imm(asm.R0, 58, "pass"), // ICMPv6
		asm.LoadAbs(54, asm.Byte),
		asm.JNE.Imm(asm.R0, 136, "pass"), // neighbour advertisement
		asm.LoadAbs(58, asm.Byte),
		asm.And.Imm(asm.R0, 0x40),
		asm.JNE.Imm(asm.R0, 0, "pass"), // solicited
		asm.Ja.Label("drop"),
		asm.LoadAbs(28, asm.Word).WithSymbol("arp"), // sender protocol address
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.LoadAbs(38, asm.Word), // target protocol address
		asm.JNE.Reg(asm.R0, asm.R7, "pass"),
		asm.Mov.Imm(asm.R0, drop).WithSymbol("drop"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, pass).WithSymbol("pass"),
		asm.Return(),
	}
}
