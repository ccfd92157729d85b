package topo

// Drawing is the topology as boxes on a grid joined by lines, for reports. One
// unit is one column or row; rows go from the clients at the top to the servers.
type Drawing struct {
	Columns int    `json:"columns"`
	Rows    int    `json:"rows"`
	Boxes   []Box  `json:"boxes"`
	Wires   []Wire `json:"wires"`
}

// Box is a node or a switch.
type Box struct {
	Name  string   `json:"name"`
	Kind  string   `json:"kind"` // a node kind, or "switch"
	Lines []string `json:"lines"`
	X     float64  `json:"x"` // centre
	Y     float64  `json:"y"`
}

// Wire joins two boxes by name.
type Wire struct {
	From    string `json:"from"`
	To      string `json:"to"`
	Network string `json:"network"`
	Label   string `json:"label"`
}

// Draw lays the plan out: clients, router, switch, appliances, servers.
func (p *Plan) Draw() Drawing {
	rows := [][]string{p.names(KindClients), p.names(KindRouter), p.switches(), append(p.names(KindAppliance), p.names(KindHAProxy)...), p.names(KindSimVOS)}
	var d Drawing
	for _, row := range rows {
		d.Columns = max(d.Columns, len(row))
	}
	for _, row := range rows {
		if len(row) == 0 {
			continue
		}
		for i, name := range row {
			x := (float64(i) + 0.5) * float64(d.Columns) / float64(len(row))
			d.Boxes = append(d.Boxes, p.box(name, x, float64(d.Rows)+0.5))
		}
		d.Rows++
	}
	for _, seg := range p.Networks {
		d.Wires = append(d.Wires, seg.wires()...)
	}
	return d
}

func (p *Plan) names(kind string) []string {
	var out []string
	for _, m := range p.OfKind(kind) {
		out = append(out, m.Name)
	}
	return out
}

func (p *Plan) switches() []string {
	var out []string
	for _, seg := range p.Networks {
		if !seg.Direct {
			out = append(out, seg.Name)
		}
	}
	return out
}

func (p *Plan) box(name string, x, y float64) Box {
	b := Box{Name: name, Kind: "switch", X: x, Y: y}
	m := p.Node(name)
	if m == nil {
		return b
	}
	b.Kind = m.Kind
	for _, port := range m.Ports {
		for _, a := range port.Addrs {
			b.Lines = append(b.Lines, a.Addr().String())
		}
	}
	return b
}

func (s *Segment) wires() []Wire {
	var out []Wire
	if s.Direct && len(s.Ports) == 2 {
		return []Wire{{From: s.Ports[0].Node, To: s.Ports[1].Node, Network: s.Name, Label: s.Name}}
	}
	for _, p := range s.Ports {
		out = append(out, Wire{From: p.Node, To: s.Name, Network: s.Name, Label: p.Iface})
	}
	return out
}
