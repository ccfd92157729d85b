// Package qemu is what emulated machines have in common, those of the harness's labs and those
// that the images are tried in: the program, its processor, and the taps that are the far ends of their
// network cards' cables.
package qemu

// Program is the emulator; Debian's package qemu-system-x86 has it.
const Program = "qemu-system-x86_64"

// Processor has every feature that QEMU emulates but cmpxchg16b, with which QEMU 7.2 makes
// kernels from 6.12 on crash now and then.
const Processor = "max,cx16=off"
