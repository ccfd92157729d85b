package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/vosbed/vosbed/simvos"
	"github.com/vosbed/vosbed/simvos/control"
)

const runExample = `  # Traffic server HT1 of the guide, in the namespace of this process
  simvos run --name HT1 --id 115 --iface eth0 --vip 192.168.94.110 --control /run/ht1.sock

  # The same with the ARP problem unsolved: it takes the VIP's clients for itself
  simvos run --name HT1 --id 115 --iface eth0 --vip 192.168.94.110 --arp unsolved

  # Management only
  simvos run --name HM1 --id 105 --only https,http`

// runFlags are the flags of "simvos run" as they are written.
type runFlags struct {
	name, iface, arp, control, rtpPorts, level string
	id                                         uint16
	rips, vips, only                           []string
	probeUDP                                   []uint
	ports                                      simvos.Ports
}

func runCommand() *cobra.Command {
	f := &runFlags{ports: simvos.DefaultPorts()}
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run one server until SIGTERM",
		Long: `Run one server in the network namespace of this process until SIGTERM.

When every listener is up, one line of JSON is written to standard output:
{"event":"READY","name":…,"id":…,"pid":…,"control":…,"services":[…]}.
Logs go to standard error.`,
		Example: runExample,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd.Context(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f.register(cmd)
	return cmd
}

// register declares the flags.
func (f *runFlags) register(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.StringVar(&f.name, "name", "", "name of the server, for example HT1 (required)")
	fl.Uint16Var(&f.id, "id", 0, "server id in every marker, unique in the lab")
	fl.StringVar(&f.iface, "iface", "", "network card; needed with --vip")
	fl.StringArrayVar(&f.rips, "rip", nil, "own address (default: those of --iface); repeatable")
	fl.StringArrayVar(&f.vips, "vip", nil, "virtual address to put on loopback; repeatable")
	fl.StringVar(&f.arp, "arp", string(simvos.ARPSolved), "ARP problem: solved or unsolved")
	fl.StringVar(&f.control, "control", "", "path of the control socket")
	fl.StringSliceVar(&f.only, "only", nil, "run these services only: "+strings.Join(control.Services(), ","))
	fl.StringVar(&f.rtpPorts, "rtp-ports", fmt.Sprintf("%d-%d", f.ports.RTPLow, f.ports.RTPHigh), "UDP ports for RTP and RTCP")
	fl.UintSliceVar(&f.probeUDP, "probe-udp-port", []uint{60000}, "ports of the UDP probe responder; repeatable")
	fl.StringVar(&f.level, "log-level", "info", "debug, info, warn or error")
	for _, p := range f.tcpPorts() {
		fl.Uint16Var(p.value, p.service+"-port", *p.value, "port of "+p.service+", 0 is off")
	}
	_ = cmd.MarkFlagRequired("name")
}

// portFlag ties a service to its port.
type portFlag struct {
	service string
	value   *uint16
}

func (f *runFlags) tcpPorts() []portFlag {
	p := &f.ports
	return []portFlag{
		{control.ServiceHTTPS, &p.HTTPS},
		{control.ServiceHTTP, &p.HTTP},
		{control.ServiceRTSP, &p.RTSP},
		{control.ServiceRTMP, &p.RTMP},
		{control.ServiceTSTCP, &p.TSTCP},
		{control.ServiceTSUDP, &p.TSUDP},
		{control.ServiceTSIngest, &p.TSIngest},
		{control.ServiceProbeTCP, &p.ProbeTCP},
		{control.ServiceBulk, &p.Bulk},
	}
}

// options turns the written flags into options.
func (f *runFlags) options(stderr io.Writer) (simvos.Options, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(f.level)); err != nil {
		return simvos.Options{}, fmt.Errorf("--log-level: %w", err)
	}
	vips, err := addrs("--vip", f.vips)
	if err != nil {
		return simvos.Options{}, err
	}
	rips, err := addrs("--rip", f.rips)
	if err != nil {
		return simvos.Options{}, err
	}
	if err := f.resolvePorts(); err != nil {
		return simvos.Options{}, err
	}
	return simvos.Options{
		Name: f.name, ID: f.id, Iface: f.iface, RIPs: rips, VIPs: vips,
		ARP: simvos.ARPMode(f.arp), Ports: f.ports, Control: f.control,
		Logger: slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})).With("node", f.name),
	}, nil
}

// resolvePorts applies --rtp-ports, --probe-udp-port and --only.
func (f *runFlags) resolvePorts() error {
	low, high, _ := strings.Cut(f.rtpPorts, "-")
	l, err1 := strconv.ParseUint(low, 10, 16)
	h, err2 := strconv.ParseUint(high, 10, 16)
	if err1 != nil || err2 != nil {
		return fmt.Errorf("--rtp-ports %q is not a range like 50000-59999", f.rtpPorts)
	}
	f.ports.RTPLow, f.ports.RTPHigh = uint16(l), uint16(h)
	f.ports.ProbeUDP = nil
	for _, p := range f.probeUDP {
		if p == 0 || p > 65535 {
			return fmt.Errorf("--probe-udp-port %d is not a port", p)
		}
		f.ports.ProbeUDP = append(f.ports.ProbeUDP, uint16(p))
	}
	return f.keepOnly()
}

// keepOnly switches off the services that --only leaves out.
func (f *runFlags) keepOnly() error {
	if len(f.only) == 0 {
		return nil
	}
	keep := map[string]bool{}
	for _, s := range f.only {
		if !slices.Contains(control.Services(), s) {
			return fmt.Errorf("--only: unknown service %q, want some of %v", s, control.Services())
		}
		keep[s] = true
	}
	for _, p := range f.tcpPorts() {
		if !keep[p.service] {
			*p.value = 0
		}
	}
	if !keep[control.ServiceProbeUDP] {
		f.ports.ProbeUDP = nil
	}
	return nil
}

func addrs(flag string, written []string) ([]netip.Addr, error) {
	var out []netip.Addr
	for _, w := range written {
		a, err := netip.ParseAddr(w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		out = append(out, a)
	}
	return out, nil
}

// run starts the node, says when it is ready and waits for its end.
func (f *runFlags) run(ctx context.Context, stdout, stderr io.Writer) error {
	o, err := f.options(stderr)
	if err != nil {
		return err
	}
	node, err := simvos.New(o)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return node.Run(ctx) })
	g.Go(func() error {
		select {
		case <-node.Ready():
			return printReady(stdout, node.Status(), o.Control)
		case <-ctx.Done():
			return nil
		}
	})
	return g.Wait()
}

// readyLine is what "simvos run" prints once.
type readyLine struct {
	Event    string            `json:"event"`
	Name     string            `json:"name"`
	ID       uint16            `json:"id"`
	Epoch    uint64            `json:"epoch"`
	PID      int               `json:"pid"`
	Control  string            `json:"control,omitempty"`
	Services []control.Service `json:"services"`
}

func printReady(w io.Writer, s control.Status, socket string) error {
	line := readyLine{"READY", s.Name, s.ID, s.Epoch, os.Getpid(), socket, s.Services}
	return json.NewEncoder(w).Encode(line)
}
