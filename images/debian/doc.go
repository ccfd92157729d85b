// Package debian takes files out of pinned Debian packages: each package is named with
// its version and the SHA-256 of its file, in a lock that is committed, and is fetched by
// apt-get from whatever mirror the machine uses. What the mirror serves is believed only
// if its sum is the pinned one.
package debian
