package guest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/appliance/api"
	"github.com/vosbed/vosbed/images/console"
)

// Paths of the running system.
const (
	configFile = StateDir + "/config.yaml"
	lbdState   = StateDir + "/state"
	logDir     = StateDir + "/log"
	socketPath = "/run/vosbed/lbd.sock"
	bpfDir     = "/sys/fs/bpf/vosbed"
)

// fileSystem is the module that no device asks for and that the start cannot go on without.
// Others are loaded when the kernel asks for them ([Modprobe]).
const fileSystem = "ext4"

// How the machine ends.
const (
	powerOff = unix.LINUX_REBOOT_CMD_POWER_OFF
	restart  = unix.LINUX_REBOOT_CMD_RESTART
)

// machine is the running system.
type machine struct {
	log      *slog.Logger
	loader   *loader
	children *children
	// life ends when the machine is to end.
	life context.Context //nolint:containedctx // it is the life of the whole system
	// whole is closed when all parts of the system are there.
	whole chan struct{}
	// sshEnd ends sshd.
	sshEnd func()
	// awaited says that the first password is not set yet.
	awaited atomic.Bool
	// end is sent how the machine shall end.
	end chan int

	mu       sync.Mutex
	troubles []string // of the start, for the console
	death    string   // how the daemon ended last
}

// ended keeps how the daemon ended, for the console.
func (m *machine) ended(how string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.death = how
}

// Main is the whole life of the first process: it returns only if it is none.
func Main() error {
	if names, ok := asked(os.Args); ok {
		return modprobe(names)
	}
	if os.Getpid() != 1 {
		return errors.New("this is the first process of the appliance's image: it starts there only")
	}
	m := &machine{children: &children{pids: map[int]bool{}}, end: make(chan int, 1), whole: make(chan struct{})}
	m.trouble("mount the kernel's file systems", mountAll())
	m.log = slog.New(slog.NewTextHandler(kernelLog(), nil))
	ctx, cancel := context.WithCancel(context.Background())
	m.life, m.sshEnd = ctx, func() {}
	m.start(ctx)
	how := m.wait(ctx)
	cancel()
	m.stop(how)
	return nil
}

// kernelLog is the kernel's own log, which the first process has before any disk.
func kernelLog() io.Writer {
	f, err := os.OpenFile("/dev/kmsg", os.O_WRONLY, 0)
	if err != nil {
		return os.Stderr
	}
	return f
}

// trouble keeps what went wrong for whoever looks at the console.
func (m *machine) trouble(what string, err error) {
	if err == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.troubles = append(m.troubles, what+": "+err.Error())
	if m.log != nil {
		m.log.Error("a part of the start failed", "part", what, "err", err)
	}
}

func (m *machine) start(ctx context.Context) {
	m.trouble("raise limits", setLimits())
	m.trouble("set the kernel's settings", setSysctls())
	var err error
	if m.loader, err = newLoader(); err != nil {
		m.trouble("load modules", err)
	}
	plugged := make(chan struct{})
	go func() {
		m.trouble("load the hardware's modules", m.loader.coldplug())
		close(plugged)
	}()
	m.trouble("load the file system's module", m.loader.load(fileSystem))
	m.trouble("mount the configuration partition", mountState(ctx, func() {
		select {
		case <-plugged: // and a disk has not come yet: perhaps its controller came late
			m.trouble("load the hardware's modules", m.loader.coldplug())
		default:
		}
	}))
	password, err := firstConfig(m.loader, plugged)
	m.trouble("read the first configuration", err)
	m.trouble("take up the loopback interface", loopbackUp())
	m.awaited.Store(password != "")
	m.services(ctx)
	m.consoles(ctx)
	if password != "" {
		go m.firstPassword(ctx, password)
	}
	go m.complete(ctx)
	go m.prove(ctx)
	go m.feedWatchdog(ctx)
}

// firstPassword sets the password that a seed gave as soon as the daemon answers.
func (m *machine) firstPassword(ctx context.Context, password string) {
	defer m.awaited.Store(false)
	daemon := api.NewUnix(socketPath)
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := daemon.SetAccount(ctx, console.User, api.NewAccount{Role: api.RoleAdmin, Password: password})
		if _, refused := errors.AsType[*api.ProblemError](err); err == nil || refused {
			m.trouble("set the password that was given while the machine was deployed", err)
			m.trouble("set the password for SSH", setSSHPassword(password))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// feedWatchdog keeps the machine's watchdog quiet while this process lives: one that hangs
// is started anew by the hardware (watchdog-api.rst).
func (m *machine) feedWatchdog(ctx context.Context) {
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		return // this machine has none
	}
	defer f.Close()
	tick := time.NewTicker(5 * time.Second)
	defer tick.Stop()
	for {
		if _, err := f.WriteString("\x00"); err != nil {
			m.log.WarnContext(ctx, "the watchdog takes no sign of life", "err", err)
		}
		select {
		case <-ctx.Done():
			_, _ = f.WriteString("V") // the magic close: it stops
			return
		case <-tick.C:
		}
	}
}

func loopbackUp() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find it: %w", err)
	}
	return netlink.LinkSetUp(lo)
}

// searchPath is where programs are looked for.
const searchPath = "/usr/sbin:/usr/bin:/sbin:/bin"

// services starts what is kept running.
func (m *machine) services(ctx context.Context) {
	for _, dir := range []string{lbdState, logDir, filepath.Dir(socketPath), chronyState} {
		m.trouble("make folders", os.MkdirAll(dir, 0o755))
	}
	lbd := m.service("lbd", "/usr/sbin/lbd", "run", "--config", configFile, "--state", lbdState, "--socket", socketPath, "--bpffs", bpfDir, "--slots")
	said := lbd.log.(*logFile) //nolint:forcetypeassert // service made it
	lbd.ended = func(err error) {
		m.ended(fmt.Sprintf("the load balancer daemon ended (%v) and starts again: %s", err, said.Last()))
	}
	go m.children.run(ctx, lbd, m.log)
}

// service is a program with a log of its own.
func (m *machine) service(name string, argv ...string) service {
	out, err := openLog(filepath.Join(logDir, name+".log"))
	m.trouble("open the log of "+name, err)
	return service{name: name, log: out, argv: argv, ended: func(error) {}}
}

// chronyState is where chrony keeps how fast the clock goes.
const chronyState = StateDir + "/chrony"

// chronyConfig is chrony's (chrony.conf(5)); the daemon adds the servers.
const chronyConfig = `user root
sourcedir /etc/chrony/sources.d
driftfile ` + chronyState + `/drift
makestep 1 3
rtcsync
cmdport 0
bindcmdaddress /run/chrony/chronyd.sock
`

func writeChrony() error {
	if err := errors.Join(os.MkdirAll("/etc/chrony/sources.d", 0o755), os.MkdirAll("/run/chrony", 0o700)); err != nil {
		return fmt.Errorf("make its folders: %w", err)
	}
	if err := os.WriteFile("/etc/chrony/chrony.conf", []byte(chronyConfig), 0o644); err != nil {
		return fmt.Errorf("write its configuration: %w", err)
	}
	return nil
}

// wait returns how the machine shall end.
func (m *machine) wait(ctx context.Context) int {
	ended, asked := make(chan os.Signal, 16), make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	signal.Notify(asked, unix.SIGINT, unix.SIGTERM, unix.SIGUSR2) // Ctrl-Alt-Del; busybox's reboot and poweroff
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_CAD_OFF)                // Ctrl-Alt-Del is told and not done at once
	go m.children.reapUntil(ctx, ended)
	select {
	case how := <-m.end:
		return how
	case s := <-asked:
		if s == unix.SIGUSR2 {
			return powerOff
		}
		return restart
	}
}

// stop ends everything in order: the services had their sign already.
func (m *machine) stop(how int) {
	m.children.stopAll(stopTime)
	unix.Sync()
	_ = unix.Unmount(StateDir, 0)
	_ = unix.Mount("", StateDir, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
	unix.Sync()
	if err := unix.Reboot(how); err != nil {
		m.log.Error("the machine does not end", "err", err)
	}
	select {} // the first process must not end: the kernel would panic
}
