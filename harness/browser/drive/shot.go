package drive

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"time"

	"github.com/vosbed/vosbed/harness/browser"
	"github.com/vosbed/vosbed/harness/browser/drive/axe"
)

// Bounds of a picture: how tall it may be, and how long it may take.
const (
	tallest  = 3000
	shotTime = 15 * time.Second
)

// shoot writes a picture of the whole page to a PNG file.
func (s *session) shoot(ctx context.Context, file string) error {
	ctx, cancel := context.WithTimeout(ctx, shotTime)
	defer cancel()
	var page struct {
		Content struct {
			Height float64 `json:"height"`
		} `json:"cssContentSize"`
	}
	if err := s.t.Call(ctx, "Page.getLayoutMetrics", nil, &page); err != nil {
		return fmt.Errorf("take a picture: %w", err)
	}
	tall := min(max(page.Content.Height, height), tallest)
	var shot struct {
		Data string `json:"data"`
	}
	how := object{
		"format": "png", "captureBeyondViewport": true,
		"clip": object{"x": 0, "y": 0, "width": width, "height": tall, "scale": 1},
	}
	if err := s.t.Call(ctx, "Page.captureScreenshot", how, &shot); err != nil {
		return fmt.Errorf("take a picture: %w", err)
	}
	b, err := base64.StdEncoding.DecodeString(shot.Data)
	if err != nil {
		return fmt.Errorf("take a picture: %w", err)
	}
	if err := os.WriteFile(file, b, 0o644); err != nil {
		return fmt.Errorf("take a picture: %w", err)
	}
	return nil
}

// examine has axe look at the page.
func (s *session) examine(ctx context.Context) (browser.Exam, error) {
	var c content
	if err := s.ask(ctx, &c, "pageText"); err != nil {
		return browser.Exam{}, err
	}
	exam := browser.Exam{Page: c.Path}
	world, err := s.enter(ctx)
	if err != nil {
		return exam, err
	}
	var r remote
	load := object{"expression": axe.Source() + "\n;0", "contextId": world, "returnByValue": true}
	if err = s.t.Call(ctx, "Runtime.evaluate", load, &r); err != nil {
		return exam, err
	}
	if err = r.err(); err != nil {
		return exam, fmt.Errorf("load axe: %w", err)
	}
	err = s.call(ctx, object{"executionContextId": world}, &exam.Violations, "examine", axe.Tags())
	return exam, err
}
