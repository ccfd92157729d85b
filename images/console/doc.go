// Package console is what a person sees who sits at the machine: a status screen, the first
// set-up (guide 9.2), and a menu. What it changes it changes through the daemon's
// management API, so that it is judged, tried, logged and kept like any other change. It
// knows no devices: package guest gives it terminals and the machine.
package console
