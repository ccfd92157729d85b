package recipe

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"

	"github.com/vosbed/vosbed/images/debian"
	"github.com/vosbed/vosbed/images/disk"
)

// grubModules are what GRUB needs to find the boot partition and start the kernel.
func grubModules() []string {
	return []string{"biosdisk", "part_gpt", "fat", "normal", "search", "search_fs_uuid", "linux", "echo", "test", "serial", "terminal", "loadenv", "loopback", "configfile", "reboot"}
}

// grubEarly is embedded: its parser knows no conditions, so it only finds the partition.
func grubEarly() string {
	return fmt.Sprintf("search --no-floppy --set=root --fs-uuid %04X-%04X\nset prefix=($root)/grub\nnormal ($root)/grub/grub.cfg\n", bootID>>16, bootID&0xffff)
}

// grub makes GRUB for BIOS machines, without grub-install and what it needs.
func (b *builder) grub(ctx context.Context) (code, core []byte, err error) {
	deb, err := b.deb(ctx, "grub-pc-bin")
	if err != nil {
		return nil, nil, err
	}
	dir := filepath.Join(b.Dir, "grub")
	defer func() { _ = os.RemoveAll(dir) }()
	if err = os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, fmt.Errorf("make GRUB's folder: %w", err)
	}
	wanted := func(p string) bool { return path.Base(path.Dir(p)) == "i386-pc" }
	err = debian.Files(ctx, deb, wanted, func(f debian.File) error {
		return os.WriteFile(filepath.Join(dir, path.Base(f.Path)), f.Data, 0o644)
	})
	if err != nil {
		return nil, nil, err
	}
	early, image := filepath.Join(dir, "early.cfg"), filepath.Join(dir, "core.made")
	if err = os.WriteFile(early, []byte(grubEarly()), 0o644); err != nil {
		return nil, nil, fmt.Errorf("write GRUB's settings: %w", err)
	}
	args := append([]string{"-O", "i386-pc", "-d", dir, "-c", early, "-p", "/grub", "-o", image}, grubModules()...)
	if out, failed := exec.CommandContext(ctx, "grub-mkimage", args...).CombinedOutput(); failed != nil {
		return nil, nil, fmt.Errorf("grub-mkimage: %w: %s", failed, strings.TrimSpace(string(out)))
	}
	made, err := os.ReadFile(image)
	if err != nil {
		return nil, nil, fmt.Errorf("read GRUB's image: %w", err)
	}
	sector, err := os.ReadFile(filepath.Join(dir, "boot.img"))
	if err != nil {
		return nil, nil, fmt.Errorf("read GRUB's boot sector: %w", err)
	}
	return disk.BootCode(sector, made)
}
