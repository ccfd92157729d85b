// Package slots keeps two systems on one boot partition, so that a new one can be tried and
// given up without a person: systemd-boot counts the tries in the names of its entries
// (uapi-group.org, Automatic Boot Assessment), GRUB in its environment block. Both are
// always written, since the same disk may be booted by either.
//
// A partition, seen from its root:
//
//	/a/vosbed.efi                   the system: a unified kernel image
//	/a/version                      its version
//	/a/grub.cfg                     where in it GRUB finds the kernel and the RAM disk
//	/loader/entries/vosbed-a+3.conf systemd-boot's entry, with the tries that are left
//	/grub/grubenv                   GRUB's first choice, and the tries that are left
//
// The order of writing is such that the power may fail at any moment: what the loaders
// choose is whole, or they choose the other slot.
package slots
