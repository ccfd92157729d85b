package guest

import (
	"fmt"
	"os"
	"strings"
	"sync"
)

// maxLog is the size in bytes at which a log file becomes the former one.
const maxLog = 4 << 20

// logFile is a log on the configuration partition: two files at most.
type logFile struct {
	path string

	mu   sync.Mutex
	file *os.File
	size int64
	last []string
}

// lastLines is how many lines Last returns at most, lineLen how much of each.
const lastLines, lineLen = 3, 300

// Last is the lines that were written last: of a program that has ended, mostly why.
func (l *logFile) Last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.last, "; ")
}

// remember keeps the last lines.
func (l *logFile) remember(b []byte) {
	for line := range strings.Lines(string(b)) {
		if line = strings.TrimSpace(line); line != "" {
			l.last = append(l.last, line[:min(len(line), lineLen)])
		}
	}
	l.last = l.last[max(0, len(l.last)-lastLines):]
}

func openLog(path string) (*logFile, error) {
	l := &logFile{path: path}
	return l, l.open()
}

func (l *logFile) open() error {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o640)
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open a log: %w", err)
	}
	l.file, l.size = f, info.Size()
	return nil
}

// Write appends to the log. A log that cannot be written stops nobody: the lines are lost.
func (l *logFile) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.remember(b)
	if l.file == nil {
		return len(b), nil
	}
	if l.size+int64(len(b)) > maxLog {
		l.rotate()
	}
	n, _ := l.file.Write(b)
	l.size += int64(n)
	return len(b), nil
}

func (l *logFile) rotate() {
	_ = l.file.Close()
	_ = os.Rename(l.path, l.path+".1")
	if l.open() != nil {
		l.file = nil
	}
}
