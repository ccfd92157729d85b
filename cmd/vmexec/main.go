// Command vmexec runs a static program in Debian's kernel, in an emulated machine, as
// `go test -exec` wants it. Its exit status is the program's; 125 says that the machine
// failed. In the machine it is init and modprobe.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/vosbed/vosbed/images/vmexec"
)

// Exit statuses besides the program's.
const (
	exitUsage   = 2
	exitMachine = 125 // the machine failed, not the program
)

func main() { os.Exit(run(os.Args)) }

func run(args []string) int {
	if vmexec.IsGuest(args[0]) {
		return vmexec.Guest(args)
	}
	runtime.LockOSThread() // QEMU dies with the thread that started it
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	code, err := do(ctx, args[1:])
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "vmexec:", err)
	}
	return code
}

func do(ctx context.Context, args []string) (int, error) {
	var o vmexec.Options
	flags := flag.NewFlagSet("vmexec", flag.ContinueOnError)
	flags.StringVar(&o.Kernel, "kernel", "6.1", "`series` of the kernel: 6.1 or 6.12")
	flags.BoolVar(&o.Warp, "warp", false, "time jumps while nobody works: an hour of waiting takes seconds")
	flags.DurationVar(&o.Limit, "limit", 0, "how long the program may take (default: its -test.timeout and 30s)")
	relock := flags.String("relock", "", "run nothing; pin the newest kernels in the lock `file`")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: vmexec [flags] PROGRAM [ARGUMENT...]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return exitUsage, flag.ErrHelp // it has told
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return exitMachine, fmt.Errorf("find the cache: %w", err)
	}
	o.Cache = filepath.Join(dir, "vosbed", "vmexec")
	switch {
	case *relock != "":
		err = vmexec.Relock(ctx, o.Cache, *relock)
	case flags.NArg() == 0:
		flags.Usage()
		return exitUsage, nil
	default:
		var code int
		if code, err = vmexec.Run(ctx, o, flags.Args(), os.Stdout); err == nil {
			return code, nil
		}
	}
	if err != nil {
		return exitMachine, err
	}
	return 0, nil
}
