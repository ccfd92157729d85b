// Package recipe says what the appliance's image is made of and makes it: Debian's kernel
// and boot loaders as they are, our own static programs, and nothing that the appliance
// does not use. The whole system is one initial RAM file system; together with the kernel
// it lies on the disk twice, for the firmware (a unified kernel image) and for BIOS
// machines.
package recipe
