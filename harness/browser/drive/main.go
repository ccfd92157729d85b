// Package drive drives Debian's Chromium: it looks for what a person would look for,
// clicks and types, and says in a sentence what it did not find. It runs in a process
// of its own inside a node's namespace; the lab sends it orders, line by line.
package drive

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/vosbed/vosbed/harness/browser"
)

// Main reads a [browser.Hello] and then orders, one JSON line each, and writes an
// answer to each. It ends, and its browser with it, when ctx ends or in does, which
// also happens when the lab dies.
func Main(ctx context.Context, in io.Reader, out, stderr io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	lines := make(chan []byte)
	go func() {
		defer cancel()
		read(ctx, in, lines)
	}()
	var hello browser.Hello
	if err := next(ctx, lines, &hello); err != nil {
		return err
	}
	enc := json.NewEncoder(out)
	begin := time.Now()
	t, err := launch(ctx, hello, stderr)
	if err != nil {
		return errors.Join(err, enc.Encode(browser.Answer{Err: err.Error()}))
	}
	defer t.end()
	if err := enc.Encode(browser.Answer{Took: time.Since(begin)}); err != nil {
		return err
	}
	for {
		var o browser.Order
		if err := next(ctx, lines, &o); err != nil {
			return err
		}
		answer, gone := t.obey(o)
		if err := errors.Join(enc.Encode(answer), gone); err != nil {
			return err
		}
	}
}

// read passes lines on until there are no more.
func read(ctx context.Context, in io.Reader, lines chan<- []byte) {
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		select {
		case lines <- append([]byte(nil), sc.Bytes()...):
		case <-ctx.Done():
			return
		}
	}
}

// next decodes the next line. The error is [io.EOF] when there is none.
func next(ctx context.Context, lines <-chan []byte, v any) error {
	select {
	case line := <-lines:
		return json.Unmarshal(line, v)
	case <-ctx.Done():
		return io.EOF
	}
}

// obey does what an order says and stops at the first thing that fails. The error
// says that there is no browser any more.
func (t *tab) obey(o browser.Order) (browser.Answer, error) {
	var answer browser.Answer
	begin := time.Now()
	err := chromedp.Do(t.ctx, chromedp.Func(func(ctx context.Context, page *chromedp.Target) error {
		s := &session{t: page, base: o.Base, busy: t.busy, notes: t.notes, complaints: t.complaints}
		err := s.all(ctx, o, &answer)
		answer.Took = time.Since(begin)
		if o.Shot == "" || err == nil && !o.Always || ctx.Err() != nil {
			return err
		}
		missed := s.shoot(ctx, o.Shot)
		if missed == nil {
			answer.Shot = o.Shot
		}
		return errors.Join(err, missed)
	}))
	gone := t.died(err)
	if gone != nil {
		err = gone
	}
	answer.Notes = t.notes.take()
	if err != nil {
		answer.Err = squeeze(err.Error())
	}
	return answer, gone
}

// all does the actions.
func (s *session) all(ctx context.Context, o browser.Order, answer *browser.Answer) error {
	for _, a := range o.Do {
		if err := s.do(ctx, a, answer); err != nil {
			return fmt.Errorf("%s: %w", a.Words(), err)
		}
	}
	return s.complained()
}

func (s *session) do(ctx context.Context, a browser.Action, answer *browser.Answer) error {
	if err := a.Check(); err != nil {
		return err
	}
	if a.Axe {
		limited, cancel := context.WithTimeout(ctx, browser.Slack)
		defer cancel()
		exam, err := s.examine(limited)
		answer.Exams = append(answer.Exams, exam)
		return err
	}
	return acts()[a.Kind()](s, ctx, a)
}
