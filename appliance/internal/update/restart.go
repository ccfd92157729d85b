package update

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// RestartMachine asks the first process for a restart: it ends everything in order.
func RestartMachine() error {
	if err := unix.Kill(1, unix.SIGINT); err != nil {
		return fmt.Errorf("restart the machine: %w", err)
	}
	return nil
}
