package machine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Overlay makes a disk that begins as the image and keeps what the machine writes. The
// image itself stays as it is.
func Overlay(ctx context.Context, image, disk string) error {
	return run(ctx, qemuImg, "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image, disk)
}

// Seed is what a machine begins with, from a disk labelled CIDATA (NoCloud).
type Seed struct {
	Config   []byte // of the appliance, YAML
	Password string // of its administrator
}

// seedKB is the size of a seed's disk: a floppy's, which is enough for two files.
const seedKB = "1440"

// Write makes the seed's disk.
func (s Seed) Write(ctx context.Context, disk string) error {
	dir, err := os.MkdirTemp(filepath.Dir(disk), "seed-")
	if err != nil {
		return fmt.Errorf("make the seed: %w", err)
	}
	defer os.RemoveAll(dir)
	if err := run(ctx, mkfsVFAT, "-n", "CIDATA", "-C", disk, seedKB); err != nil {
		return err
	}
	if err := os.Chmod(disk, 0o600); err != nil { // it will hold a password
		return fmt.Errorf("make the seed: %w", err)
	}
	for name, text := range map[string][]byte{"vosbed.yaml": s.Config, "password": []byte(s.Password + "\n")} {
		from := filepath.Join(dir, name)
		if err := os.WriteFile(from, text, 0o600); err != nil {
			return fmt.Errorf("make the seed: %w", err)
		}
		if err := run(ctx, mcopy, "-i", disk, from, "::"+name); err != nil {
			return err
		}
	}
	return nil
}

func run(ctx context.Context, program string, args ...string) error {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(string(out)))
	}
	return nil
}
