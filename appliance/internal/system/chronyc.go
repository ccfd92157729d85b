package system

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"
)

// chronyTime bounds a call of chronyc.
const chronyTime = 5 * time.Second

// chronyc makes chrony read its sources again.
func chronyc(ctx context.Context) error {
	program, err := exec.LookPath("chronyc")
	if err != nil {
		return errors.New("chronyc is not on this machine: install chrony")
	}
	ctx, cancel := context.WithTimeout(ctx, chronyTime)
	defer cancel()
	said, err := exec.CommandContext(ctx, program, "-n", "reload", "sources").CombinedOutput()
	if err != nil {
		return fmt.Errorf("chronyc reload sources: %w (%s)", err, bytes.TrimSpace(said[:min(len(said), 200)]))
	}
	return nil
}
