// Package update gives an appliance that starts from an image another system (guide 9.4.2):
// it takes an archive (package bundle), writes it into the slot that does not run (package
// slots), keeps the configuration as it was then, and restarts the machine into it or back.
//
// Whether the new system stays is decided by the first process of the image, which asks for
// what [Waiting] says: a system that does not come up healthy is given up.
package update
