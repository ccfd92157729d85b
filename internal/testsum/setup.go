package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// packages are the Debian packages of the independent clients that tests use, media
// players and a browser, each with the program that proves it installed.
func packages() map[string]string {
	return map[string]string{"ffprobe": "ffmpeg", "chromium": "chromium"}
}

// imagePackages are those that build the appliance's image and boot it.
func imagePackages() map[string]string {
	return map[string]string{
		"mkfs.vfat": "dosfstools", "xz": "xz-utils", "mcopy": "mtools", "mke2fs": "e2fsprogs", "grub-mkimage": "grub-common",
		"qemu-img": "qemu-utils", "qemu-system-x86_64": "qemu-system-x86", "/usr/share/OVMF/OVMF_CODE_4M.fd": "ovmf",
		"genisoimage": "genisoimage",
	}
}

// isThere says whether a program is on PATH, or a file at its place.
func isThere(program string) bool {
	if filepath.IsAbs(program) {
		_, err := os.Stat(program)
		return err == nil
	}
	_, err := exec.LookPath(program)
	return err == nil
}

// setup installs what is missing. Without root or apt it says what is missing and
// goes on: the tests that need it then say so themselves.
func setup(ctx context.Context, wanted map[string]string) error {
	var missing []string
	for program, pkg := range wanted {
		if !isThere(program) {
			missing = append(missing, pkg)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if !canInstall() {
		fmt.Printf("not installed: %v (install them as root)\n", missing)
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
