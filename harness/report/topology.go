package report

import (
	"html/template"
	"strings"

	"github.com/vosbed/vosbed/harness/topo"
)

// Size of one cell of the grid and of a box, in pixels.
const (
	cellWidth, cellHeight = 178.0, 104.0
	boxWidth              = 156.0
	// leastWidth keeps a small topology from being blown up.
	leastWidth = laneWidth
)

// drawTopology draws boxes on a grid, joined by lines.
func drawTopology(d topo.Drawing) template.HTML {
	c := newCanvas(max(float64(max(d.Columns, 1))*cellWidth, leastWidth), float64(max(d.Rows, 1))*cellHeight, topologyText(d))
	// A small topology stands in the middle of the page's width.
	shift := max(0, (leastWidth-float64(d.Columns)*cellWidth)/2) / cellWidth
	at := make(map[string]topo.Box, len(d.Boxes))
	for i := range d.Boxes {
		b := d.Boxes[i]
		b.X += shift
		at[b.Name] = b
	}
	for _, w := range d.Wires {
		a, okA := at[w.From]
		b, okB := at[w.To]
		if okA && okB {
			drawWire(c, a, b)
		}
	}
	for _, b := range d.Boxes {
		drawBox(c, at[b.Name])
	}
	return c.html()
}

func drawWire(c *canvas, a, b topo.Box) {
	x1, y1, x2, y2 := a.X*cellWidth, a.Y*cellHeight, b.X*cellWidth, b.Y*cellHeight
	if y1 == y2 {
		c.line("wire", x1, y1, x2, y2)
		return
	}
	mid := (y1 + y2) / 2
	c.path("wire", "M"+px(x1)+" "+px(y1)+"C"+px(x1)+" "+px(mid)+" "+px(x2)+" "+px(mid)+" "+px(x2)+" "+px(y2))
}

// class of a node kind's mark.
func kindClass(kind string) string {
	switch kind {
	case topo.KindAppliance:
		return "c1"
	case topo.KindSimVOS:
		return "c3"
	case topo.KindClients:
		return "c2"
	case topo.KindRouter:
		return "c4"
	}
	return "passive"
}

func drawBox(c *canvas, b topo.Box) {
	x, y := b.X*cellWidth, b.Y*cellHeight
	if b.Kind == "switch" {
		w := max(float64(len(b.Name))*letter+28, 90)
		c.tip("box", frame{x - w/2, y - 15, w, 30}, "switch "+b.Name)
		c.text("soft", "middle", x, y+4, b.Name)
		return
	}
	lines := b.Lines
	if len(lines) > 3 {
		lines = append(append([]string{}, lines[:2]...), "…")
	}
	h := 40 + 15*float64(len(lines))
	top := y - h/2
	c.tip("box", frame{x - boxWidth/2, top, boxWidth, h}, b.Kind+" "+b.Name+": "+strings.Join(b.Lines, ", "))
	c.rect(kindClass(b.Kind), x-boxWidth/2, top, 5, h)
	c.text("", "start", x-boxWidth/2+15, top+18, fit(b.Name, boxWidth-24))
	c.text("soft", "start", x-boxWidth/2+15, top+33, b.Kind)
	for i, l := range lines {
		c.text("soft mono", "start", x-boxWidth/2+15, top+49+15*float64(i), fit(l, boxWidth-20))
	}
}

// topologyText is the drawing in words.
func topologyText(d topo.Drawing) string {
	var parts []string
	for _, b := range d.Boxes {
		parts = append(parts, strings.TrimSpace(b.Kind+" "+b.Name+" "+strings.Join(b.Lines, " ")))
	}
	return "Topology: " + strings.Join(parts, "; ")
}
