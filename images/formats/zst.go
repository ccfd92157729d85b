package formats

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"
)

// zstUnit is how much of the disk is compressed at a time, in bytes. Where the units are
// empty is decided by what they hold, never by where this file system has holes.
const zstUnit = 4 << 20

// compress writes a raw disk as Zstandard frames (RFC 8878): one for every unit with
// data, one for every run of empty units. Any zstd unpacks them in one go.
func compress(ctx context.Context, raw, at string) error {
	in, err := os.Open(raw)
	if err != nil {
		return err
	}
	defer in.Close()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	// One thread: how the work is shared must not show.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedBetterCompression))
	if err != nil {
		return err
	}
	file, err := os.Create(at)
	if err != nil {
		return err
	}
	out := bufio.NewWriter(file)
	err = frames(ctx, disk{in, info.Size()}, enc, out)
	return errors.Join(err, out.Flush(), file.Close())
}

func frames(ctx context.Context, d disk, enc *zstd.Encoder, out *bufio.Writer) error {
	var empty int64 // bytes since the last unit with data
	buffer := make([]byte, zstUnit)
	var packed []byte
	for at := int64(0); at < d.size; {
		if err := ctx.Err(); err != nil {
			return err
		}
		if next := d.data(at) / zstUnit * zstUnit; next > at {
			empty, at = empty+next-at, next
			continue
		}
		unit := buffer[:min(zstUnit, d.size-at)]
		if _, err := d.file.ReadAt(unit, at); err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the disk: %w", err)
		}
		at += int64(len(unit))
		if zero(unit) {
			empty += int64(len(unit))
			continue
		}
		packed = enc.EncodeAll(unit, zeros(packed[:0], empty))
		empty = 0
		if _, err := out.Write(packed); err != nil {
			return err
		}
	}
	_, err := out.Write(zeros(packed[:0], empty))
	return err
}

// disk is a raw disk, most of which are holes.
type disk struct {
	file *os.File
	size int64
}

// data is the next offset at or after the given one at which there may be data; the
// disk's end, rounded up to a unit, if there is none.
func (d disk) data(at int64) int64 {
	next, err := unix.Seek(int(d.file.Fd()), at, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO):
		// The last unit is read, so that its length is known.
		return max(at, (d.size-1)/zstUnit*zstUnit)
	case err != nil:
		return at // a file system that knows no holes
	}
	return next
}

func zero(data []byte) bool {
	for len(data) >= 8 {
		if binary.LittleEndian.Uint64(data) != 0 {
			return false
		}
		data = data[8:]
	}
	for _, b := range data {
		if b != 0 {
			return false
		}
	}
	return true
}

// zeros appends a frame of n zeros: four bytes for each 128 KiB, the largest block.
func zeros(to []byte, n int64) []byte {
	const (
		magic   = 0xfd2fb528
		sized   = 3 << 6 // the frame says its length in 8 bytes
		window  = 7 << 3 // 128 KiB
		largest = 128 << 10
		last    = 1
		repeat  = 1 << 1 // a block that is one byte over and over
	)
	if n == 0 {
		return to
	}
	to = binary.LittleEndian.AppendUint32(to, magic)
	to = append(to, sized, window)
	to = binary.LittleEndian.AppendUint64(to, uint64(n))
	for n > 0 {
		size := min(n, largest)
		n -= size
		head := uint32(size)<<3 | repeat
		if n == 0 {
			head |= last
		}
		to = append(to, byte(head), byte(head>>8), byte(head>>16), 0)
	}
	return to
}
