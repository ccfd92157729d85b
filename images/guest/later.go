package guest

import (
	"archive/tar"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"debug/pe"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/internal/slots"
)

// The later part of the system: what is not needed to serve lies in a section of its own of
// the unified kernel image, a tar archive compressed by zstd. The initial RAM file system
// holds its sum, so that whatever vouches for the one vouches for the other.
const (
	LaterSection = ".later"
	LaterSum     = "/etc/vosbed/later.sha256"
)

// Bounds of the later part in bytes.
const (
	maxLater         = 64 << 20
	maxLaterUnpacked = 256 << 20
)

// laterPatience is how long the later part waits for the daemon, which needs the machine
// for itself while it starts.
const laterPatience = 20 * time.Second

// laterPause is how long its web process may take to start after that.
const laterPause = 3 * time.Second

// SumOf is the sum of a later part as LaterSum holds it.
func SumOf(part []byte) string {
	sum := sha256.Sum256(part)
	return hex.EncodeToString(sum[:])
}

// complete unpacks the later part and starts the services that are in it.
func (m *machine) complete(ctx context.Context) {
	m.awaitDaemon(ctx)
	m.trouble("unpack the later part of the system", m.withBoot(ctx, func(p slots.Partition) error { return unpackLater(p.Dir, "/") }))
	m.trouble("repair the boot partition", slots.Repair(bootDir, m.checkBoot))
	m.trouble("mount the firmware's variables", mountFirmware())
	debug.FreeOSMemory() // of unpacking
	close(m.whole)
	m.trouble("configure chrony", writeChrony())
	go m.children.run(ctx, m.service("chronyd", "/usr/sbin/chronyd", "-d", "-F", "1"), m.log)
	if exists(sshOn) {
		m.trouble("start sshd", m.startSSH())
	}
}

// checkBoot mends the file system of the boot partition.
func (m *machine) checkBoot(dev string) error {
	const mended = 1 // fsck.fat(8): errors were found, and mended
	cmd := exec.CommandContext(m.life, "/sbin/fsck.fat", "-a", "-w", dev)
	said := &bytes.Buffer{}
	cmd.Stdout, cmd.Stderr = said, said
	err := m.children.wait(cmd)
	if status, ok := errors.AsType[*exec.ExitError](err); ok && status.ExitCode() == mended {
		m.log.WarnContext(m.life, "the boot partition was mended", "fsck", said.String())
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// awaitDaemon waits until the daemon answers, and a moment for its pages.
func (m *machine) awaitDaemon(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, laterPatience)
	defer cancel()
	daemon := api.NewUnix(socketPath)
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for answered := false; !answered; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_, err := daemon.Status(ctx)
		answered = err == nil
	}
	select {
	case <-ctx.Done():
	case <-time.After(laterPause):
	}
}

var errNoLater = errors.New("no system on the boot partition has the part that belongs to the one that runs")

// unpackLater finds the part that belongs to the running system on the boot partition.
func unpackLater(bootDir, root string) error {
	want, err := os.ReadFile(filepath.Join(root, LaterSum))
	if err != nil {
		return fmt.Errorf("read its sum: %w", err)
	}
	var errs []error
	for _, slot := range []slots.Slot{slots.A, slots.B} {
		found, err := fromImage(filepath.Join(bootDir, slot.Image()), strings.TrimSpace(string(want)), root)
		if found {
			return err
		}
		errs = append(errs, err)
	}
	return errors.Join(append(errs, errNoLater)...)
}

// fromImage unpacks the part that a unified kernel image holds, if it is the one of that
// sum. It is read twice and never held: memory is dear here.
func fromImage(path, sum, root string) (found bool, err error) {
	f, err := pe.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	s := f.Section(LaterSection)
	if s == nil || s.VirtualSize > maxLater {
		return false, nil
	}
	part := io.NewSectionReader(s, 0, int64(s.VirtualSize))
	h := sha256.New()
	if n, err := io.Copy(h, part); err != nil || n != part.Size() {
		return false, fmt.Errorf("read %s: %w", path, cmp.Or(err, io.ErrUnexpectedEOF))
	}
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return false, nil
	}
	return true, extract(io.NewSectionReader(s, 0, part.Size()), root)
}

// extract unpacks the archive, which holds files only.
func extract(part io.Reader, root string) error {
	z, err := zstd.NewReader(part, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxLaterUnpacked))
	if err != nil {
		return fmt.Errorf("decompress: %w", err)
	}
	defer z.Close()
	archive := tar.NewReader(io.LimitReader(z, maxLaterUnpacked))
	for {
		head, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if head.Typeflag != tar.TypeReg || !filepath.IsLocal(head.Name) {
			return fmt.Errorf("%q has no place in the system", head.Name)
		}
		if err := place(filepath.Join(root, head.Name), os.FileMode(head.Mode).Perm(), archive); err != nil {
			return fmt.Errorf("unpack %s: %w", head.Name, err)
		}
	}
}

// place writes a file under another name first: nobody starts half a program.
func place(at string, mode os.FileMode, data io.Reader) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
		return err
	}
	half := at + ".part"
	f, err := os.OpenFile(half, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, data)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(half, at)
}
