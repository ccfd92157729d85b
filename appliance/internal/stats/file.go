package stats

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// The file: a mark, the levels one after the other (newest slot, counts, places), and a
// checksum of all before it. Numbers are little-endian.
const (
	mark    = "vosbed graphs 1\n"
	sumSize = 4
)

// encode writes the levels.
func encode(all []*level) []byte {
	b := bytes.NewBufferString(mark)
	for _, l := range all {
		put(b, l.newest)
		for s := range l.places {
			put(b, int64(l.counts[s]))
			for _, p := range l.places[s] {
				put(b, [3]float32{p.min, p.avg, p.max})
			}
		}
	}
	put(b, crc32.ChecksumIEEE(b.Bytes()))
	return b.Bytes()
}

// put writes a value of a fixed size, which never fails.
func put(b *bytes.Buffer, v any) { _ = binary.Write(b, binary.LittleEndian, v) }

// decode reads what encode wrote.
func decode(data []byte) ([]*level, error) {
	if len(data) < len(mark)+sumSize || string(data[:len(mark)]) != mark {
		return nil, errors.New("it is no file of graphs that this program knows")
	}
	body, sum := data[:len(data)-sumSize], data[len(data)-sumSize:]
	if crc32.ChecksumIEEE(body) != binary.LittleEndian.Uint32(sum) {
		return nil, errors.New("it is damaged: its checksum is wrong")
	}
	r := bytes.NewReader(body[len(mark):])
	all := levels()
	for _, l := range all {
		if err := l.decode(r); err != nil {
			return nil, errors.New("it is too short")
		}
	}
	if r.Len() > 0 {
		return nil, errors.New("it is too long")
	}
	return all, nil
}

func (l *level) decode(r *bytes.Reader) error {
	if err := binary.Read(r, binary.LittleEndian, &l.newest); err != nil {
		return err
	}
	for s := range l.places {
		var count int64
		read := make([][3]float32, l.size())
		if err := errors.Join(binary.Read(r, binary.LittleEndian, &count), binary.Read(r, binary.LittleEndian, read)); err != nil {
			return err
		}
		l.counts[s] = int(max(0, count))
		for i, p := range read {
			l.places[s][i] = place{p[0], p[1], p[2]}
		}
	}
	return nil
}
