package peer

import "time"

// LimitOutbox makes an overflow cheap to reach and its repairs quick. Call it before Run.
func (r *Replicator) LimitOutbox(n int, pause time.Duration) { r.out.limit, r.out.pause = n, pause }
