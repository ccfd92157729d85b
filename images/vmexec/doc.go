// Package vmexec runs one static program, such as a test binary, in Debian's kernel: in a
// machine that QEMU emulates, without KVM, disks or network, and whose only file system is
// an archive in its RAM. The same program is the machine's init and its modprobe, so the
// kernel loads on demand whatever module a test touches.
//
// The kernel and its modules are unpacked once into a cache; each run adds the program,
// its directory and its arguments as a second archive. What the program writes comes out
// on one serial line, the kernel's words and the exit status on another, so that neither
// can be mistaken for the other.
package vmexec
