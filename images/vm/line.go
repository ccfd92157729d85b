package vm

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
)

// Line is a serial line, from the side of a person who sits at it.
type Line struct {
	to    io.Writer
	ended <-chan struct{} // closed when the machine has ended
	more  chan struct{}   // capacity 1

	mu   sync.Mutex
	said bytes.Buffer
	read int // how much of it Wait has passed
}

// NewLine reads and writes a line until reading fails. The machine behind it has ended when
// that channel is closed.
func NewLine(from io.Reader, to io.Writer, ended <-chan struct{}) *Line {
	l := &Line{to: to, ended: ended, more: make(chan struct{}, 1)}
	go l.listen(from)
	return l
}

func (l *Line) listen(from io.Reader) {
	buf := make([]byte, 4096)
	for {
		n, err := from.Read(buf)
		l.mu.Lock()
		l.said.Write(buf[:n])
		l.mu.Unlock()
		select {
		case l.more <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Said is everything that the machine wrote.
func (l *Line) Said() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.said.String()
}

// Wait waits until the machine has written a text since the last one waited for.
func (l *Line) Wait(ctx context.Context, text string) error {
	for {
		if l.passed(text) {
			return nil
		}
		select {
		case <-l.more:
		case <-l.ended:
			if l.passed(text) {
				return nil
			}
			return fmt.Errorf("the machine ended before it said %q\n%s", text, l.Said())
		case <-ctx.Done():
			return fmt.Errorf("the machine did not say %q: %w\n%s", text, context.Cause(ctx), l.Said())
		}
	}
}

func (l *Line) passed(text string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	rest := l.said.Bytes()[l.read:]
	i := bytes.Index(rest, []byte(text))
	if i < 0 {
		return false
	}
	l.read += i + len(text)
	return true
}

// Type types a line.
func (l *Line) Type(text string) error { return l.Keys(text + "\r") }

// Keys types without Enter at the end.
func (l *Line) Keys(text string) error {
	if _, err := io.WriteString(l.to, text); err != nil {
		return fmt.Errorf("type on the serial line: %w", err)
	}
	return nil
}
