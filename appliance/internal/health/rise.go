package health

// rise is the pure state machine between single checks and the state of a server:
// down until the first success, then fall failures in a row to go down and rise
// successes in a row to come up again. The zero value is a server never seen up.
type rise struct {
	up     bool
	seen   bool // has been up at least once
	streak int  // results in a row that speak against the present state
}

// observe takes one result and reports whether the state changed.
func (r *rise) observe(ok bool, fall, need int) (changed bool) {
	if ok == r.up {
		r.streak = 0
		return false
	}
	r.streak++
	limit := fall
	if ok {
		limit = need
		if !r.seen {
			limit = 1
		}
	}
	if r.streak < limit {
		return false
	}
	r.up, r.streak = ok, 0
	r.seen = r.seen || ok
	return true
}

// changing reports whether the latest results contradict the state: then checks
// come faster.
func (r *rise) changing() bool { return r.streak > 0 }
