// Package guest is the first process of the appliance's own system: it mounts, loads
// kernel modules for the hardware that is there, finds the disk's partition with the
// configuration, and keeps the daemon running. The whole system lies in memory; the
// partition is the only thing that lasts.
//
// What fails is told on the console and does not end the system: an appliance that answers
// on its console can be mended.
package guest
