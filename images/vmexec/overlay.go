package vmexec

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vosbed/vosbed/images/cpio"
)

// Places in the machine.
const (
	initFile    = "/init"
	modprobe    = "/sbin/modprobe"
	programFile = "/vmexec/program"
	orderFile   = "/vmexec/order.json"
)

// maxFiles bounds the files of the working directory that go into the machine, in bytes.
const maxFiles = 64 << 20

// order is what the machine is to do.
type order struct {
	Args []string `json:"args"` // without the program
	Dir  string   `json:"dir"`
	Env  []string `json:"env"`
}

// overlay writes the second archive: init, the program, its directory and the order.
func overlay(to io.Writer, self, program string, o order) error {
	w := cpio.NewWriter(to, 0)
	for _, at := range []string{"/proc", "/sys", "/dev", "/tmp", "/run", "/root", "/etc"} {
		if err := w.Add(cpio.Entry{Path: at, Mode: fs.ModeDir | 0o755}); err != nil {
			return err
		}
	}
	for at, from := range map[string]string{initFile: self, programFile: program} {
		data, err := os.ReadFile(from)
		if err != nil {
			return fmt.Errorf("take the program into the machine: %w", err)
		}
		if err := w.Add(cpio.Entry{Path: at, Mode: 0o755, Data: data}); err != nil {
			return err
		}
	}
	text, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("encode the machine's order: %w", err)
	}
	for _, e := range []cpio.Entry{
		{Path: orderFile, Mode: 0o644, Data: text},
		{Path: modprobe, Mode: fs.ModeSymlink | 0o777, Data: []byte(initFile)},
		{Path: "/etc/hosts", Mode: 0o644, Data: []byte("127.0.0.1 localhost\n::1 localhost\n")},
		{Path: "/etc/passwd", Mode: 0o644, Data: []byte("root:x:0:0::/root:/\nnobody:x:65534:65534::/:/\n")},
		{Path: "/etc/group", Mode: 0o644, Data: []byte("root:x:0:\nnogroup:x:65534:\n")},
	} {
		if err := w.Add(e); err != nil {
			return err
		}
	}
	if err := addTree(w, o.Dir); err != nil {
		return err
	}
	return w.Close()
}

// addTree takes the regular files of a directory along, at the same place.
func addTree(w *cpio.Writer, dir string) error {
	if err := w.Add(cpio.Entry{Path: dir, Mode: fs.ModeDir | 0o755}); err != nil {
		return err
	}
	total := int64(0)
	return filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || strings.HasSuffix(at, ".test") {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if total += info.Size(); total > maxFiles {
			return fmt.Errorf("%s has more than %d MiB: it does not fit into the machine", dir, maxFiles>>20)
		}
		data, err := os.ReadFile(at)
		if err != nil {
			return err
		}
		return w.Add(cpio.Entry{Path: at, Mode: info.Mode().Perm(), Data: data})
	})
}
