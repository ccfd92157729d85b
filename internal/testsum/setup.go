package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
)

// packages are the Debian packages of the independent clients that tests use, media
// players and a browser, each with the program that proves it installed.
func packages() map[string]string {
	return map[string]string{"ffprobe": "ffmpeg", "chromium": "chromium"}
}

// setup installs what is missing. Without root or apt it says what is missing and
// goes on: the tests that need it then say so themselves.
func setup(ctx context.Context) error {
	var missing []string
	for program, pkg := range packages() {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if !canInstall() {
		fmt.Printf("not installed: %v (install them as root for the full tests)\n", missing)
		return nil
	}
	fmt.Printf("installing %v\n", missing)
	if err := apt(ctx, "update", "-qq"); err != nil {
		return err
	}
	return apt(ctx, append([]string{"install", "-y", "-qq", "--no-install-recommends"}, missing...)...)
}

func canInstall() bool {
	_, err := exec.LookPath("apt-get")
	return err == nil && os.Geteuid() == 0
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("apt-get %v: %w\n%s", args, err, out)
	}
	return nil
}
