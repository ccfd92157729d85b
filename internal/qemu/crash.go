package qemu

import "strings"

// crashed is what a kernel says that has hit a breakpoint which it had taken away.
const crashed = "int3: 0000"

// Crashed says whether a machine's console tells that the emulator crashed its kernel: QEMU's
// emulation of several processors by several threads goes on with a translation of code
// that another processor has changed. Kernels change their code while they start, whichever
// they are; about one start of a hundred ends so, and no hypervisor is concerned.
func Crashed(console string) bool { return strings.Contains(console, crashed) }
