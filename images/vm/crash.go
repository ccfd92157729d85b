package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/vosbed/vosbed/internal/qemu"
)

// Times of looking for a crash.
const (
	crashEvery = time.Second
	controlFor = 10 * time.Second
)

// mend resets the machine whenever the emulator has crashed its kernel, as a person would.
func (v *VM) mend(ctx context.Context) {
	tick := time.NewTicker(crashEvery)
	defer tick.Stop()
	seen := 0 // of what it said
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.ended:
			return
		case <-tick.C:
		}
		if !qemu.Crashed(v.Said()[seen:]) {
			continue
		}
		v.crashes.Add(1)
		if err := v.reset(ctx); err != nil {
			return // whoever waits for the machine will tell what it said
		}
		seen = len(v.Said()) // its last words are of the same crash
	}
}

// reset presses the machine's reset button (QEMU Machine Protocol).
func (v *VM) reset(ctx context.Context) error {
	conn, err := new(net.Dialer).DialContext(ctx, "unix", v.control)
	if err != nil {
		return fmt.Errorf("reach the emulator: %w", err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(controlFor))
	if _, err = io.WriteString(conn, `{"execute":"qmp_capabilities"}{"execute":"system_reset","id":"reset"}`); err != nil {
		return fmt.Errorf("reset the machine: %w", err)
	}
	for d := json.NewDecoder(conn); ; {
		var answer struct {
			ID    string
			Error *struct{ Desc string }
		}
		if err = d.Decode(&answer); err != nil {
			return fmt.Errorf("reset the machine: %w", err)
		}
		if answer.Error != nil {
			return fmt.Errorf("reset the machine: %s", answer.Error.Desc)
		}
		if answer.ID == "reset" {
			return nil
		}
	}
}
