package observe

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// DefaultLimit bounds a history in bytes. An hour of a busy run stays below it.
const DefaultLimit = 256 << 20

// maxLine bounds one record in bytes: the status of an appliance with a few
// hundred real servers and their check history.
const maxLine = 16 << 20

// ErrFull reports that a history has reached its bound. The last record that
// fitted says so too, as KindBroken.
var ErrFull = errors.New("history is full")

// New makes a record of v. It fails only when v cannot be written as JSON.
func New(t time.Duration, kind Kind, name string, v any) (Record, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return Record{}, fmt.Errorf("encode %s record %q: %w", kind, name, err)
	}
	return Record{T: t, Kind: kind, Name: name, Value: raw}, nil
}

// Decode reads the value of a record as the type that belongs to its kind.
func Decode[T any](r Record) (T, error) {
	var v T
	if err := json.Unmarshal(r.Value, &v); err != nil {
		return v, fmt.Errorf("decode %s record %q at %v: %w", r.Kind, r.Name, r.T, err)
	}
	return v, nil
}

// Writer appends records as JSON lines. It is safe for concurrent use. Each
// record reaches the underlying writer with one Write, so that a reader of the
// file sees whole lines except perhaps the last one of a killed run.
type Writer struct {
	mu   sync.Mutex
	w    io.Writer
	buf  bytes.Buffer
	left int64
	full bool
}

// NewWriter returns a Writer that takes up to limit bytes; 0 means
// DefaultLimit.
func NewWriter(w io.Writer, limit int64) *Writer {
	if limit <= 0 {
		limit = DefaultLimit
	}
	return &Writer{w: w, left: limit}
}

// Append writes one record. When the bound is reached it writes a last record
// of KindBroken, so that nobody mistakes a cut history for a whole one, and
// answers ErrFull from then on.
func (w *Writer) Append(r Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.full {
		return ErrFull
	}
	if err := w.encode(r); err != nil {
		return err
	}
	if int64(w.buf.Len()) <= w.left {
		return w.flush()
	}
	w.full = true
	note, err := New(r.T, KindBroken, "history", Note{Text: "the history reached its bound: later records are missing"})
	if err != nil {
		return err
	}
	return errors.Join(ErrFull, w.encode(note), w.flush())
}

func (w *Writer) encode(r Record) error {
	w.buf.Reset()
	if err := json.NewEncoder(&w.buf).Encode(r); err != nil {
		return fmt.Errorf("encode %s record: %w", r.Kind, err)
	}
	return nil
}

func (w *Writer) flush() error {
	w.left -= int64(w.buf.Len())
	if _, err := w.w.Write(w.buf.Bytes()); err != nil {
		return fmt.Errorf("append to the history: %w", err)
	}
	return nil
}

// Load reads a history file.
func Load(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open the history: %w", err)
	}
	defer f.Close()
	records, err := Read(f)
	if err != nil {
		return records, fmt.Errorf("%s: %w", path, err)
	}
	return records, nil
}

// Read reads records until the end, in the order they were appended: records
// of agents may be older than those before them. A last line without its end,
// left by a run that was killed, is dropped; any other malformed line is an
// error, with the records before it.
func Read(r io.Reader) ([]Record, error) {
	var records []Record
	in := bufio.NewReaderSize(r, 1<<16)
	for n := 1; ; n++ {
		line, err := readLine(in)
		torn := errors.Is(err, io.EOF)
		if err != nil && !torn {
			return records, fmt.Errorf("line %d: %w", n, err)
		}
		var rec Record
		if len(bytes.TrimSpace(line)) > 0 {
			bad := json.Unmarshal(line, &rec)
			if bad != nil && !torn {
				return records, fmt.Errorf("line %d: %w", n, bad)
			}
			if bad == nil {
				records = append(records, rec)
			}
		}
		if torn {
			return records, nil
		}
	}
}

// readLine reads one line of at most maxLine bytes.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > maxLine {
			return nil, fmt.Errorf("longer than %d bytes", maxLine)
		}
	}
}
