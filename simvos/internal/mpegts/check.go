package mpegts

// Continuity checks the continuity counters of one stream. The zero value is
// ready to use. A burst of a multiple of sixteen packets of one PID cannot be
// seen by it, nor any loss of null packets.
type Continuity struct {
	last map[uint16]counter
}

// counter is the state of one PID.
type counter struct {
	cc       byte
	repeated bool
}

// Packet takes the next packet and returns how many packets of its PID are
// missing before it. ok is false when it is no packet.
func (c *Continuity) Packet(p []byte) (missing int, ok bool) {
	if len(p) != packetSize || p[0] != 0x47 {
		return 0, false
	}
	pid := uint16(p[1]&0x1f)<<8 | uint16(p[2])
	if pid == pidNull || p[3]&0x10 == 0 { // without payload the counter stands still
		return 0, true
	}
	if c.last == nil {
		c.last = make(map[uint16]counter)
	}
	before, known := c.last[pid]
	now := counter{cc: p[3] & 0x0f}
	switch {
	case !known, discontinuity(p):
	case now.cc == before.cc && !before.repeated:
		now.repeated = true // a packet may be sent twice
	default:
		missing = int(now.cc-before.cc-1) & 0x0f
	}
	c.last[pid] = now
	return missing, true
}

// discontinuity reports the indicator in the adaptation field.
func discontinuity(p []byte) bool {
	return p[3]&0x20 != 0 && p[4] > 0 && p[5]&0x80 != 0
}
