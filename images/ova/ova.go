// Package ova packs a virtual disk with the description of the machine that it wants:
// guide 9.1's two CPUs, 4 GB of memory and four network adapters. There is one package
// for VMware and one for VirtualBox, over the same disk: each refuses or misreads the
// hardware family of the other.
package ova

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// Platform is a hypervisor that takes OVAs.
type Platform int

// The platforms.
const (
	VMware Platform = iota + 1
	VirtualBox
)

// Options say what to pack.
type Options struct {
	Platform Platform
	Name     string // of the machine, and beginning of the names of the files: "vosbed"
	Version  string
	Disk     string // path of a stream-optimised VMDK
	Capacity int64  // size of the disk in bytes, as the guest sees it
	Time     time.Time
}

// check names everything that is missing.
func (o Options) check() error {
	var errs []error
	for what, missing := range map[string]bool{
		"platform": o.Platform != VMware && o.Platform != VirtualBox, "name": o.Name == "", "version": o.Version == "",
		"disk": o.Disk == "", "capacity": o.Capacity <= 0, "time": o.Time.IsZero(),
	} {
		if missing {
			errs = append(errs, fmt.Errorf("an OVA needs a %s", what))
		}
	}
	return errors.Join(errs...)
}

// Names of the files within.
func (o Options) base() string { return o.Name + "-" + o.Version }
func (o Options) disk() string { return o.base() + "-disk1.vmdk" }

// Write writes an OVA: the same one every time. It appears under its name when it is whole.
func Write(path string, o Options) error {
	if err := o.check(); err != nil {
		return err
	}
	disk, err := os.Open(o.Disk)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer disk.Close()
	part := path + ".part"
	if err := write(part, o, disk); err != nil {
		_ = os.Remove(part)
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(part, path); err != nil {
		return fmt.Errorf("write an OVA: %w", err)
	}
	return nil
}

func write(path string, o Options, disk *os.File) error {
	sum, size, err := sumOf(disk)
	if err != nil {
		return err
	}
	descriptor, err := descriptor(o, size)
	if err != nil {
		return err
	}
	manifest := fmt.Sprintf("SHA256(%s.ovf)= %x\nSHA256(%s)= %x\n", o.base(), sha256.Sum256(descriptor), o.disk(), sum)
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	out := tar.NewWriter(file)
	// The descriptor comes first, the manifest second (DSP0243, 5.3).
	err = errors.Join(
		o.add(out, o.base()+".ovf", bytes.NewReader(descriptor), int64(len(descriptor))),
		o.add(out, o.base()+".mf", bytes.NewReader([]byte(manifest)), int64(len(manifest))),
		o.add(out, o.disk(), io.NewSectionReader(disk, 0, size), size),
	)
	return errors.Join(err, out.Close(), file.Close())
}

func (o Options) add(out *tar.Writer, name string, data io.Reader, size int64) error {
	head := &tar.Header{Name: name, Size: size, Mode: 0o644, ModTime: o.Time.Truncate(time.Second), Format: tar.FormatUSTAR}
	if err := out.WriteHeader(head); err != nil {
		return err
	}
	_, err := io.Copy(out, data)
	return err
}

// sumOf is the SHA-256 and the size of a file.
func sumOf(f *os.File) ([]byte, int64, error) {
	h := sha256.New()
	n, err := io.Copy(h, f)
	return h.Sum(nil), n, err
}
