package vm

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// crashed is what a kernel says that has hit a breakpoint which it had taken away: QEMU's
// emulation of several processors by several threads goes on with a translation of code
// that another processor has changed. Kernels change their code while they start, whichever
// they are; about one start of a hundred ends so, and no hypervisor is concerned. The machine
// is reset then, as a person would do it.
const crashed = "int3: 0000"

// CrashedByTheEmulator says whether what a machine said ends so.
func CrashedByTheEmulator(said string) bool { return strings.Contains(said, crashed) }

// Times of looking for a crash.
const (
	crashEvery = time.Second
	controlFor = 10 * time.Second
)

// mend resets the machine whenever the emulator has crashed its kernel.
func (v *VM) mend(ctx context.Context) {
	tick := time.NewTicker(crashEvery)
	defer tick.Stop()
	seen := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-v.ended:
			return
		case <-tick.C:
		}
		var found bool
		if seen, found = v.saidSince(seen, crashed); found {
			v.crashes.Add(1)
			if err := v.reset(ctx); err != nil {
				return // whoever waits for the machine will tell what it said
			}
			seen, _ = v.saidSince(seen, crashed) // its last words are of the same crash
		}
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
