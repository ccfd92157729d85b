package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// canvas collects SVG elements. Colours come from classes of the style sheet, so
// that drawings follow the reader's light or dark scheme.
type canvas struct {
	b             strings.Builder
	width, height float64
	label         string
}

// letter is the mean width of a character of the 12 px text.
const letter = 6.6

func newCanvas(width, height float64, label string) *canvas {
	return &canvas{width: width, height: height, label: label}
}

func (c *canvas) rect(class string, x, y, w, h float64) { c.tip(class, frame{x, y, w, h}, "") }

// frame is the place of a rectangle.
type frame struct{ x, y, w, h float64 }

// tip is a rectangle with a tool tip.
func (c *canvas) tip(class string, f frame, title string) {
	x, y, w, h := f.x, f.y, f.w, f.h
	fmt.Fprintf(&c.b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="%s"`, class, px(x), px(y), px(math.Max(w, 1)), px(h), px(math.Min(3, w/2)))
	if title == "" {
		c.b.WriteString("/>")
		return
	}
	fmt.Fprintf(&c.b, "><title>%s</title></rect>", html.EscapeString(title))
}

func (c *canvas) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&c.b, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, px(x1), px(y1), px(x2), px(y2))
}

// dot is a small disc with a tool tip.
func (c *canvas) dot(class string, x, y float64, title string) {
	fmt.Fprintf(&c.b, `<circle class="%s" cx="%s" cy="%s" r="5"><title>%s</title></circle>`, class, px(x), px(y), html.EscapeString(title))
}

// text anchors at start, middle or end.
func (c *canvas) text(class, anchor string, x, y float64, s string) {
	fmt.Fprintf(&c.b, `<text class="%s" text-anchor="%s" x="%s" y="%s">%s</text>`, class, anchor, px(x), px(y), html.EscapeString(s))
}

func (c *canvas) path(class, d string) { fmt.Fprintf(&c.b, `<path class="%s" d="%s"/>`, class, d) }

// fit cuts a text to a width in pixels; empty when hardly anything fits.
func fit(s string, width float64) string {
	n := int(width / letter)
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	if n < 4 {
		return ""
	}
	return string([]rune(s)[:n-1]) + "…"
}

// html is the finished drawing. All text in it has been escaped.
func (c *canvas) html() template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %s %s" role="img" aria-label="%s">%s</svg>`, px(c.width), px(c.height), html.EscapeString(c.label), c.b.String()))
}

func px(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

// scale maps values to pixels.
type scale struct{ from, to, low, high float64 }

// decades is a logarithmic scale from 1 on; what is smaller stands at 1.
type decades struct{ scale }

// newDecades reaches to a whole or half decade at or above top.
func newDecades(top, low, high float64) decades {
	return decades{scale{0, max(1, math.Ceil(2*math.Log10(max(top, 1)))/2), low, high}}
}

func (d decades) at(v float64) float64 { return d.scale.at(math.Log10(max(v, 1))) }

// ticks are the powers of ten and three times each.
func (d decades) ticks() []float64 {
	var out []float64
	for e := 1.0; math.Log10(e) <= d.to; e *= 10 {
		out = append(out, e)
		if math.Log10(3*e) <= d.to {
			out = append(out, 3*e)
		}
	}
	return out
}

func (s scale) at(v float64) float64 {
	if s.to == s.from {
		return s.low
	}
	return s.low + (v-s.from)/(s.to-s.from)*(s.high-s.low)
}

// ticks are about n round values within the scale.
func (s scale) ticks(n int) []float64 {
	if !(s.to > s.from) || n < 1 {
		return []float64{s.from}
	}
	raw := (s.to - s.from) / float64(n)
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	size := unit * 10
	for _, k := range []float64{1, 2, 5} {
		if unit*k >= raw {
			size = unit * k
			break
		}
	}
	var out []float64
	for v := math.Ceil(s.from/size) * size; v <= s.to+size/1e6; v += size {
		out = append(out, v)
	}
	return out
}

// roof is a round value at or above v, for the end of an axis.
func roof(v float64) float64 {
	if !(v > 0) {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, k := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8, 10} {
		if unit*k >= v {
			return unit * k
		}
	}
	return unit * 10
}
