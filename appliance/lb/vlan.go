package lb

// VLAN makes an interface a part of another one (IEEE 802.1Q): what Link carries with the
// tag ID. Zero = the interface is none.
type VLAN struct {
	Link string
	ID   int // 1 to 4094
}

// Zero says that an interface is no VLAN.
func (v VLAN) Zero() bool { return v == VLAN{} }

// Stacked lists the configured interfaces such that each comes after the one that it is a
// VLAN of. What is in a circle is left out.
func (s System) Stacked() []Interface {
	out := make([]Interface, 0, len(s.Interfaces))
	done := map[string]bool{}
	for len(out) < len(s.Interfaces) {
		before := len(out)
		for _, i := range s.Interfaces {
			_, known := s.Interface(i.VLAN.Link)
			if !done[i.Name] && (i.VLAN.Zero() || !known || done[i.VLAN.Link]) {
				done[i.Name] = true
				out = append(out, i)
			}
		}
		if len(out) == before {
			break
		}
	}
	return out
}
