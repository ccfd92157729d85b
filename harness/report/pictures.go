package report

import (
	"bytes"
	"encoding/base64"
	"html/template"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
)

// pictureBudget bounds all pictures of a page together, in bytes of text.
const pictureBudget = 4 << 20

// pictureSize is how an inline copy is made.
type pictureSize struct{ width, height, quality int }

// pictureSizes are tried from good to poor until the pictures of a page are within the
// budget.
func pictureSizes() []pictureSize {
	return []pictureSize{{960, 1600, 75}, {800, 1300, 65}, {640, 1000, 60}, {480, 700, 50}, {320, 400, 40}}
}

// pictures gives steps smaller copies of their screenshots, and reports whether any has
// one. A file that is missing or damaged is not shown: the report is of use without.
func pictures(dir string, steps []step) bool {
	shots := map[int]*image.RGBA{}
	for i, s := range steps {
		if s.Shot == "" || !filepath.IsLocal(s.Shot) {
			continue
		}
		if m, err := readPNG(filepath.Join(dir, s.Shot)); err == nil {
			shots[i] = m
		}
	}
	for _, size := range pictureSizes() {
		total := 0
		for i, m := range shots {
			steps[i].Picture = inline(m, size)
			total += len(steps[i].Picture)
		}
		if total <= pictureBudget {
			break
		}
	}
	return len(shots) > 0
}

func readPNG(path string) (*image.RGBA, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	m, err := png.Decode(f)
	if err != nil {
		return nil, err
	}
	out := image.NewRGBA(m.Bounds())
	draw.Draw(out, out.Rect, m, m.Bounds().Min, draw.Src)
	return out, nil
}

// inline is a copy as a data URI, cut at the bottom if it is too tall.
func inline(m *image.RGBA, size pictureSize) template.URL {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, shrink(m, size.width, size.height), &jpeg.Options{Quality: size.quality}); err != nil {
		return ""
	}
	return template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(b.Bytes()))
}

// shrink makes a picture as wide as width: each point is the mean of those it stands
// for. What is below height is left out. A picture that is narrower stays as it is.
func shrink(m *image.RGBA, width, height int) *image.RGBA {
	from := m.Bounds()
	if from.Dx() < width {
		width = from.Dx()
	}
	scale := float64(from.Dx()) / float64(width)
	out := image.NewRGBA(image.Rect(0, 0, width, min(height, int(float64(from.Dy())/scale))))
	edge := func(origin, i int) int { return origin + int(float64(i)*scale) }
	for y := range out.Rect.Dy() {
		for x := range width {
			area := image.Rect(edge(from.Min.X, x), edge(from.Min.Y, y), edge(from.Min.X, x+1), edge(from.Min.Y, y+1))
			out.SetRGBA(x, y, mean(m, area))
		}
	}
	return out
}

func mean(m *image.RGBA, area image.Rectangle) color.RGBA {
	var r, g, b, n uint32
	for y := area.Min.Y; y < area.Max.Y; y++ {
		row := m.Pix[m.PixOffset(area.Min.X, y):m.PixOffset(area.Max.X, y)]
		for i := 0; i < len(row); i += 4 {
			r, g, b, n = r+uint32(row[i]), g+uint32(row[i+1]), b+uint32(row[i+2]), n+1
		}
	}
	if n == 0 {
		return color.RGBA{A: 255}
	}
	return color.RGBA{R: uint8(r / n), G: uint8(g / n), B: uint8(b / n), A: 255}
}
