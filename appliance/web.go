package appliance

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"time"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/appliance/internal/front"
	"github.com/vosbed/vosbed/appliance/internal/web"
	"github.com/vosbed/vosbed/internal/buildinfo"
)

// WebFd is the descriptor of the pipe that `lbd run` hands to `lbd web`.
const WebFd = front.HandoverFd

// Web is the whole life of the web process, which runs as an unprivileged user.
func Web(ctx context.Context, pipe *os.File, log *slog.Logger) error {
	return front.Main(ctx, pipe, func(socket string) (http.Handler, error) {
		pages, err := web.New(web.Options{
			API: api.NewUnix(socket), Logger: log, Now: time.Now, Version: buildinfo.Get().Version,
		})
		if err != nil {
			return nil, err
		}
		return pages.Handler(), nil
	}, log)
}

// webUser is the system user of the web process. Where a package or an image has not
// made one of its own, it is the user of nothing.
const (
	webUser  = "vosbed-web"
	nobodyID = 65534
)

// webIDs are the user and the group of the web process. A daemon that is not root
// cannot choose: the process is its own user then.
func webIDs() (uid, gid int, err error) {
	if os.Geteuid() != 0 {
		return os.Geteuid(), os.Getegid(), nil
	}
	u, err := user.Lookup(webUser)
	if _, unknown := errors.AsType[user.UnknownUserError](err); unknown {
		return nobodyID, nobodyID, nil
	}
	if err != nil {
		return 0, 0, err
	}
	uid, errUID := strconv.Atoi(u.Uid)
	gid, errGID := strconv.Atoi(u.Gid)
	return uid, gid, errors.Join(errUID, errGID)
}
