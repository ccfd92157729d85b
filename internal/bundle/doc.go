// Package bundle is the archive of a software update (guide 9.4.2): a tar with three files in
// this order,
//
//	manifest.json           what it is: product, version, size and SHA-256 of the system
//	manifest.json.minisig   signature over the manifest, by the key of the releases
//	system.efi              the system: a unified kernel image
//
// It is read as a stream. Nothing of it is believed before the manifest's signature fits, and
// the system is whole only if its reader ends without an error. Whatever is sent, a few
// kilobytes of memory read it.
package bundle
