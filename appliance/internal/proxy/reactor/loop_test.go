package reactor

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// running starts a loop that ends with the test.
func running(t *testing.T) *Loop {
	t.Helper()
	l, err := New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	up := make(chan struct{})
	l.Post(func() { close(up) })
	<-up
	t.Cleanup(func() {
		l.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

type handler func(Events)

func (h handler) Ready(ev Events) { h(ev) }

func TestForgottenHandlersHearNothing(t *testing.T) {
	l := running(t)
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	heard := make(chan Events, 16)
	var token Token
	l.Do(func() {
		token, err = l.Add(pair[0], handler(func(ev Events) { heard <- ev }), Readable|Edge)
	})
	if err != nil {
		t.Fatal(err)
	}
	write := func() {
		t.Helper()
		if _, err = unix.Write(pair[1], []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	write()
	if ev := <-heard; ev&Readable == 0 {
		t.Errorf("events = %x, want readable", ev)
	}
	// The slot's next owner must not answer to the old token.
	var next Token
	l.Do(func() {
		if err = l.Unwatch(pair[0], token); err == nil {
			next, err = l.Add(pair[0], handler(func(ev Events) { heard <- ev | 1<<20 }), Readable|Edge)
		}
		l.Forget(token)
	})
	if err != nil {
		t.Fatal(err)
	}
	if ev := <-heard; ev&(1<<20) == 0 {
		t.Errorf("events = %x came to the old handler", ev)
	}
	if next == token {
		t.Error("a token was used twice")
	}
}

func TestPostedWorkRunsInOrder(t *testing.T) {
	l := running(t)
	var got []int
	for i := range 100 {
		l.Post(func() { got = append(got, i) })
	}
	l.Do(func() {
		for i, g := range got {
			if i != g {
				t.Errorf("work %d ran as number %d", g, i)
			}
		}
		if len(got) != 100 {
			t.Errorf("%d of 100 ran before the Do that came after", len(got))
		}
	})
}

func TestTimersFireOnAnIdleLoop(t *testing.T) {
	l := running(t)
	fired := make(chan time.Time, 1)
	timer := Timer{Fire: func() { fired <- l.Now() }}
	start := time.Now()
	l.Do(func() { l.Schedule(&timer, start.Add(120*time.Millisecond)) })
	if took := (<-fired).Sub(start); took < 120*time.Millisecond {
		t.Errorf("fired after %v, want 120 ms or more", took)
	}
}

func TestDoWithoutRun(t *testing.T) {
	l, err := New(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ran := false
	l.Do(func() { ran = true })
	if !ran {
		t.Error("Do did nothing on a loop that does not run")
	}
}
