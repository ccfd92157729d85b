package stats

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"math"
	"os"
)

// The file, big endian: magic, version (32 bits), then per resolution its step in ms, how
// many buckets it keeps and how many follow (32 bits each), and those that are not empty
// in the order of their slots: number, ms of rates and of gauges (32 bits each), and per
// series min, avg and max as 32-bit floats. The end is a CRC-32C of everything before it.
const (
	fileMagic   = "VOSGRAPH"
	fileVersion = 1
	headSize    = len(fileMagic) + 4
	tierSize    = 3 * 4
	recordSize  = 3*4 + seriesCount*3*4
	sumSize     = 4
	// mostFile is more than any file that is written: a year of all that is kept.
	mostFile = 1 << 20
)

// What is wrong with a file.
var (
	errForeign = errors.New("not a file of graphs that this program reads")
	errDamaged = errors.New("the file is damaged")
)

// encode writes all that is kept.
func (c *core) encode() []byte {
	out := append(make([]byte, 0, mostFile), fileMagic...)
	out = binary.BigEndian.AppendUint32(out, fileVersion)
	for i := range c.tiers {
		out = c.tiers[i].encode(out)
	}
	return binary.BigEndian.AppendUint32(out, checksum(out))
}

func checksum(data []byte) uint32 { return crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli)) }

func (t *tier) encode(out []byte) []byte {
	be := binary.BigEndian
	out = be.AppendUint32(out, uint32(t.step))
	out = be.AppendUint32(out, uint32(len(t.slots)))
	count := len(out)
	out = be.AppendUint32(out, 0)
	var kept uint32
	for i := range t.slots {
		if b := &t.slots[i]; b.measured != [groupCount]int64{} {
			out = b.encode(out)
			kept++
		}
	}
	be.PutUint32(out[count:], kept)
	return out
}

func (b *bucket) encode(out []byte) []byte {
	be := binary.BigEndian
	out = be.AppendUint32(out, uint32(b.number))
	for _, ms := range b.measured {
		out = be.AppendUint32(out, uint32(ms))
	}
	for _, c := range b.cells {
		for _, v := range [...]float64{c.min, c.avg, c.max} {
			out = be.AppendUint32(out, math.Float32bits(float32(v)))
		}
	}
	return out
}

// decode reads what encode wrote into an empty core; on an error the core is of no use.
func (c *core) decode(data []byte) error {
	if len(data) < headSize || string(data[:len(fileMagic)]) != fileMagic {
		return errForeign
	}
	if v := binary.BigEndian.Uint32(data[len(fileMagic):]); v != fileVersion {
		return fmt.Errorf("%w: version %d, not %d", errForeign, v, fileVersion)
	}
	body := len(data) - sumSize
	if body < headSize || binary.BigEndian.Uint32(data[body:]) != checksum(data[:body]) {
		return fmt.Errorf("%w: its checksum is wrong", errDamaged)
	}
	rest := data[headSize:body]
	var err error
	for i := range c.tiers {
		if rest, err = c.tiers[i].decode(rest); err != nil {
			return err
		}
	}
	if len(rest) > 0 {
		return fmt.Errorf("%w: %d bytes too many", errDamaged, len(rest))
	}
	return nil
}

// decode reads a resolution and returns what comes after it.
func (t *tier) decode(data []byte) (rest []byte, err error) {
	if len(data) < tierSize {
		return nil, fmt.Errorf("%w: it ends early", errDamaged)
	}
	be := binary.BigEndian
	step, slots, kept := int64(be.Uint32(data)), int64(be.Uint32(data[4:])), int64(be.Uint32(data[8:]))
	if step != t.step || slots != int64(len(t.slots)) {
		return nil, fmt.Errorf("%w: %d buckets of %d ms", errForeign, slots, step)
	}
	data = data[tierSize:]
	if kept > slots || int64(len(data)) < kept*recordSize {
		return nil, fmt.Errorf("%w: %d buckets", errDamaged, kept)
	}
	before := int64(-1)
	for range kept {
		b := decodeBucket(data)
		slot := b.number % slots
		if slot <= before || !b.sound(t.step) {
			return nil, fmt.Errorf("%w: bucket %d", errDamaged, b.number)
		}
		t.slots[slot], before = b, slot
		data = data[recordSize:]
	}
	return data, nil
}

func decodeBucket(data []byte) bucket {
	next := func() uint32 {
		v := binary.BigEndian.Uint32(data)
		data = data[4:]
		return v
	}
	b := bucket{number: int64(next())}
	for g := range b.measured {
		b.measured[g] = int64(next())
	}
	for i := range b.cells {
		c := &b.cells[i]
		for _, v := range [...]*float64{&c.min, &c.avg, &c.max} {
			*v = float64(math.Float32frombits(next()))
		}
	}
	return b
}

// sound reports whether a bucket can have come from measures.
func (b *bucket) sound(step int64) bool {
	if b.measured == [groupCount]int64{} || b.measured[rates] > step || b.measured[gauges] > step {
		return false
	}
	for i, c := range b.cells {
		if b.measured[groupOf(i)] == 0 && c != (cell{}) {
			return false
		}
		ordered := 0 <= c.min && c.min <= c.avg && c.avg <= c.max && c.max <= math.MaxFloat32
		if !ordered { // or NaN
			return false
		}
	}
	return true
}

// read returns the text of a file of graphs; one that is not there is nil.
func read(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // reading a pipe would wait
		return nil, errForeign
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, mostFile+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if len(data) == 0 || len(data) > mostFile {
		return nil, fmt.Errorf("%w: its size", errForeign)
	}
	return data, nil
}
