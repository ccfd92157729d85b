package vmexec

import (
	"strings"
	"testing"
	"time"
)

func TestVerdict(t *testing.T) {
	tests := []struct {
		console, err string
		code         int
	}{
		{console: "[ 1.0] hello\r\nvmexec: exit 0\r\n"},
		{console: "vmexec: exit 3\n", code: 3},
		{console: "words without an end of line vmexec: exit 7\r\n", code: 7},
		{console: "[ 2.0] Kernel panic - not syncing: sysrq\n[ 2.1] Call Trace:\n", err: "the kernel panicked"},
		{console: "[ 2.0] hello\n", err: "without telling"},
		{console: "vmexec: exit soon\n", err: "without telling"},
		{console: "", err: "without telling"},
	}
	for _, tt := range tests {
		code, err := verdict(tt.console)
		if tt.err == "" && err != nil || tt.err != "" && (err == nil || !strings.Contains(err.Error(), tt.err)) || code != tt.code {
			t.Errorf("%q: %d, %v, want %d, %q", tt.console, code, err, tt.code, tt.err)
		}
	}
}

func TestTail(t *testing.T) {
	var b tail
	for range 1000 {
		if n, err := b.Write([]byte(strings.Repeat("x", 100) + "\n")); n != 101 || err != nil {
			t.Fatal(n, err)
		}
	}
	_, _ = b.Write([]byte("last but one\nlast\n"))
	if b.text.Len() != consoleLimit || b.last(2) != "last but one\nlast" {
		t.Errorf("%d bytes, %q", b.text.Len(), b.last(2))
	}
}

func TestTailWatches(t *testing.T) {
	seen := 0
	b := tail{watch: upWord, seen: func() { seen++ }}
	for _, part := range []string{"[ 1.0] hello\r\nvmexec", ": u", "p\r\n", "vmexec: up again\n"} {
		_, _ = b.Write([]byte(part))
	}
	if seen != 1 {
		t.Errorf("seen %d times", seen)
	}
}

func TestTimeoutOf(t *testing.T) {
	for args, want := range map[string]time.Duration{
		"prog":                          defaultTimeout,
		"prog -test.timeout=1m":         time.Minute + grace,
		"prog --test.timeout=2s -x":     2*time.Second + grace,
		"prog -test.timeout=0":          defaultTimeout,
		"prog -test.timeout=soon":       defaultTimeout,
		"prog -test.timeoutish=5s":      defaultTimeout,
		"prog -test.v -test.timeout=3h": 3*time.Hour + grace,
	} {
		if got := timeoutOf(strings.Fields(args)); got != want {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
}

func TestPin(t *testing.T) {
	for _, series := range []string{"6.1", "6.12"} {
		p, err := pin(series)
		if err != nil || !strings.HasPrefix(p.Version, series+".") {
			t.Errorf("%s: %s, %v", series, p, err)
		}
		if metas()[prefix(series)] == "" {
			t.Errorf("%s: nobody knows its newest package", series)
		}
	}
	if _, err := pin("2.4"); err == nil || !strings.Contains(err.Error(), "linux-image-6.1") {
		t.Errorf("a kernel that is not pinned: %v", err)
	}
}

func TestParts(t *testing.T) {
	for at, want := range map[string]bool{
		"net/netfilter/ipvs/ip_vs.ko":      true,
		"net/8021q/8021q.ko":               true,
		"drivers/net/dummy.ko":             true,
		"drivers/net/ethernet/intel/e1.ko": false,
		"fs/ext4/ext4.ko":                  false,
	} {
		if isPart(at) != want {
			t.Errorf("%s: part %t", at, isPart(at))
		}
	}
}
