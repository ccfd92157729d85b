package media

// bitWriter writes the syntax elements of ITU-T H.264 section 7.2, most
// significant bit first.
type bitWriter struct {
	b    []byte
	free int // bits still free in the last byte
}

// u writes the lowest n bits of v.
func (w *bitWriter) u(n int, v uint32) {
	for i := n - 1; i >= 0; i-- {
		if w.free == 0 {
			w.b = append(w.b, 0)
			w.free = 8
		}
		w.free--
		w.b[len(w.b)-1] |= byte(v>>i&1) << w.free
	}
}

// ue writes v as an unsigned Exp-Golomb code (section 9.1).
func (w *bitWriter) ue(v uint32) {
	n := 0
	for (v+1)>>n > 1 {
		n++
	}
	w.u(n, 0)
	w.u(n+1, v+1)
}

// align fills the last byte with zero bits.
func (w *bitWriter) align() { w.free = 0 }

// trail ends a raw byte sequence payload: a one bit, then zeros.
func (w *bitWriter) trail() {
	w.u(1, 1)
	w.align()
}

// nal returns the NAL unit with that header byte and the payload, with
// emulation prevention bytes (section 7.4.1).
func nal(header byte, payload []byte) []byte {
	out := make([]byte, 1, len(payload)+len(payload)/64+2)
	out[0] = header
	zeros := 0
	for _, c := range payload {
		if zeros >= 2 && c <= 3 {
			out = append(out, 3)
			zeros = 0
		}
		out = append(out, c)
		if c == 0 {
			zeros++
		} else {
			zeros = 0
		}
	}
	return out
}
