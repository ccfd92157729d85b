package disk

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FAT is a FAT32 file system with files, made by mkfs.vfat and mcopy.
type FAT struct {
	Label string
	ID    uint32
	Size  int64 // bytes
	Files map[string][]byte
	// Time is that of every file.
	Time time.Time
}

// Write makes the file system in a file; dir is for what is needed meanwhile.
func (t FAT) Write(ctx context.Context, image, dir string) error {
	if err := os.RemoveAll(image); err != nil {
		return fmt.Errorf("make the file system: %w", err)
	}
	kib := strconv.FormatInt(t.Size/1024, 10)
	err := run(ctx, t.Time, "mkfs.vfat", "-F", "32", "-n", t.Label, "--invariant", "-i", fmt.Sprintf("%08X", t.ID), "-C", image, kib)
	if err != nil {
		return err
	}
	made := map[string]bool{}
	for _, name := range slices.Sorted(maps.Keys(t.Files)) {
		if err := t.mkdirs(ctx, image, path.Dir(name), made); err != nil {
			return err
		}
		if err := t.put(ctx, image, dir, name); err != nil {
			return err
		}
	}
	return nil
}

func (t FAT) mkdirs(ctx context.Context, image, at string, made map[string]bool) error {
	if at == "/" || at == "." || made[at] {
		return nil
	}
	if err := t.mkdirs(ctx, image, path.Dir(at), made); err != nil {
		return err
	}
	made[at] = true
	return run(ctx, t.Time, "mmd", "-i", image, "::/"+strings.TrimPrefix(at, "/"))
}

func (t FAT) put(ctx context.Context, image, dir, name string) error {
	from := filepath.Join(dir, "file")
	if err := os.WriteFile(from, t.Files[name], 0o644); err != nil {
		return fmt.Errorf("make the file system: %w", err)
	}
	if err := os.Chtimes(from, t.Time, t.Time); err != nil {
		return fmt.Errorf("make the file system: %w", err)
	}
	defer func() { _ = os.Remove(from) }()
	return run(ctx, t.Time, "mcopy", "-m", "-i", image, from, "::/"+strings.TrimPrefix(name, "/"))
}

// run runs a program of Debian's that stamps the given time on what it makes.
func run(ctx context.Context, at time.Time, argv ...string) error {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C", "MTOOLS_SKIP_CHECK=1",
		fmt.Sprintf("SOURCE_DATE_EPOCH=%d", at.Unix()), fmt.Sprintf("E2FSPROGS_FAKE_TIME=%d", at.Unix()))
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv[:min(3, len(argv))], " "), err, strings.TrimSpace(string(out)))
	}
	return nil
}

// Ext4 is an empty ext4 file system.
type Ext4 struct {
	Label, UUID string
	Size        int64 // bytes
	Time        time.Time
}

// Write makes the file system in a file.
func (e Ext4) Write(ctx context.Context, image string) error {
	if err := os.RemoveAll(image); err != nil {
		return fmt.Errorf("make the file system: %w", err)
	}
	return run(ctx, e.Time, "mke2fs", "-q", "-t", "ext4", "-L", e.Label, "-U", e.UUID, "-m", "1", "-O", "^metadata_csum_seed",
		"-E", "hash_seed="+e.UUID+",root_owner=0:0,lazy_itable_init=0", image, strconv.FormatInt(e.Size/1024, 10)+"k")
}
