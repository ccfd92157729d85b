package report

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vosbed/vosbed/harness/observe"
)

// writePNG writes a picture with that many random points, which no format makes small.
func writePNG(t *testing.T, path string, w, h int, noise bool) {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range m.Pix {
		m.Pix[i] = 200
		if noise {
			m.Pix[i] = uint8(rnd.Uint32())
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestPicturesStandBesideTheirSteps(t *testing.T) {
	dir := t.TempDir()
	writePNG(t, filepath.Join(dir, "a.png"), 1280, 2000, false)
	var history []observe.Record
	add := func(kind observe.Kind, name string, v any) {
		r, err := observe.New(time.Duration(len(history))*time.Second, kind, name, v)
		if err != nil {
			t.Fatal(err)
		}
		history = append(history, r)
	}
	add(observe.KindStep, "one", observe.Span{What: "one"})
	add(observe.KindShot, "one", observe.Shot{File: "a.png"})
	add(observe.KindStep, "one", observe.Span{What: "one", End: true})
	add(observe.KindStep, "two", observe.Span{What: "two"})
	add(observe.KindShot, "two", observe.Shot{File: "../../etc/passwd"})
	add(observe.KindStep, "two", observe.Span{What: "two", End: true})
	steps := newTimeline(history).stepList()
	if !pictures(dir, steps) || steps[1].Picture != "" {
		t.Fatalf("pictures: %+v", steps)
	}
	var page bytes.Buffer
	in := input{dir: dir, history: history}
	if err := in.html(&page); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(page.String(), `<img src="data:image/jpeg;base64,`); n != 1 || !strings.Contains(page.String(), `<a href="a.png">`) {
		t.Errorf("%d pictures in the page", n)
	}
	_, text, _ := strings.Cut(string(steps[0].Picture), ",")
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil || m.Bounds().Dx() != 960 || m.Bounds().Dy() != 1500 {
		t.Fatalf("the copy: %v, %v", m.Bounds(), err)
	}
	if c := color.GrayModel.Convert(m.At(500, 500)).(color.Gray); c.Y < 195 || c.Y > 205 {
		t.Errorf("the copy is of another colour: %v", c)
	}
}

func TestManyPicturesStayWithinTheBudget(t *testing.T) {
	dir := t.TempDir()
	var steps []step
	for i := range 12 {
		name := fmt.Sprintf("%d.png", i)
		if i == 0 {
			writePNG(t, filepath.Join(dir, name), 1280, 1500, true)
		} else if err := os.Link(filepath.Join(dir, "0.png"), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step{Name: name, Shot: name})
	}
	pictures(dir, steps)
	total := 0
	for _, s := range steps {
		total += len(s.Picture)
	}
	if total == 0 || total > pictureBudget {
		t.Errorf("%d bytes of pictures, at most %d", total, pictureBudget)
	}
}
