package appliance

import (
	"context"
	"os"

	"github.com/vosbed/vosbed/appliance/internal/dataplane/ebpf/lease"
	"github.com/vosbed/vosbed/appliance/internal/sentinel"
)

// SentinelFd is the descriptor of the socket that `lbd run` hands to `lbd sentinel`.
const SentinelFd = sentinel.SocketFd

// Sentinel is the whole life of the sentinel process. It ends when the main daemon
// is gone, and leaves lease and addresses as they are.
func Sentinel(ctx context.Context, main *os.File) error {
	return sentinel.Main(ctx, main, func(dir string) (sentinel.Leaser, error) { return lease.Open(dir) })
}
