// Package stats keeps the samples behind the graphs of the System Overview (guide 9.3):
// network bandwidth, load, memory. They lie in rings of a fixed size that survive a
// restart: 10 s for an hour, 1 min for a day, 10 min for a week, 1 h for a year. That
// are 11 568 places for each of six series, 12 bytes each: 833 kB in memory and in the
// file, whatever happens.
//
// A place holds minimum, average and maximum of what was measured in its time, so the
// extremes of a window are true ones at every resolution; a time in which nothing was
// measured is a gap. Bandwidth is worked out from counters between two samples: one that
// went backwards (an interface has gone, the node was restarted) makes a gap, not a peak.
package stats
