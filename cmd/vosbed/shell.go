package main

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/vosbed/vosbed/harness"
)

func (a *app) shellCommand() *cobra.Command {
	var out, dir string
	cmd := &cobra.Command{
		Use:     "shell NODE [-- COMMAND...]",
		Short:   "Run a command (default $SHELL) in a node of a lab that stands",
		Example: "  vosbed shell clients\n  vosbed shell lb1 -- lbctl status",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if dir == "" {
				found, err := standingDir(out)
				if err != nil {
					return err
				}
				dir = found
			}
			return shell(dir, args[0], args[1:])
		},
	}
	cmd.Flags().StringVar(&out, "out", "out", "folder of run directories")
	cmd.Flags().StringVar(&dir, "dir", "", "run directory (default: the newest lab that stands)")
	return cmd
}

// standingDir returns the run directory of the newest lab that still stands.
func standingDir(out string) (string, error) {
	files, err := filepath.Glob(filepath.Join(out, "*", "*", "supervisor.pid"))
	if err != nil {
		return "", fmt.Errorf("find a lab: %w", err)
	}
	slices.SortFunc(files, func(x, y string) int {
		return cmp.Compare(filepath.Base(filepath.Dir(y)), filepath.Base(filepath.Dir(x)))
	})
	for _, f := range files {
		if _, err := enginePID(filepath.Dir(f)); err == nil {
			return filepath.Dir(f), nil
		}
	}
	return "", errors.New("no lab stands: start one with `vosbed run NAME --keep`")
}

// enginePID returns the process id, as seen here, of the engine of a run.
func enginePID(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "supervisor.pid"))
	if err != nil {
		return 0, fmt.Errorf("find the lab: %w", err)
	}
	init := strings.TrimSpace(string(b))
	children, err := os.ReadFile(filepath.Join("/proc", init, "task", init, "children"))
	if err != nil {
		return 0, fmt.Errorf("the lab of %s no longer stands: %w", dir, err)
	}
	first, _, _ := strings.Cut(string(children), " ")
	cmdline, err := os.ReadFile(filepath.Join("/proc", first, "cmdline"))
	if err != nil || !slices.Contains(strings.Split(string(cmdline), "\x00"), "engine") {
		return 0, fmt.Errorf("the lab of %s no longer stands", dir)
	}
	return strconv.Atoi(first)
}

// shell enters the node's network namespace through the engine's descriptor and
// becomes the command.
func shell(dir, node string, argv []string) error {
	pid, err := enginePID(dir)
	if err != nil {
		return err
	}
	s, err := harness.ReadStanding(dir)
	if err != nil {
		return err
	}
	fd, ok := s.Nodes[node]
	if !ok {
		return usage{fmt.Errorf("no node %q: there are %s", node, strings.Join(slices.Sorted(maps.Keys(s.Nodes)), ", "))}
	}
	if len(argv) == 0 {
		argv = []string{cmp.Or(os.Getenv("SHELL"), "/bin/bash")}
	}
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return fmt.Errorf("run a command in %s: %w", node, err)
	}
	ns, err := os.Open(fmt.Sprintf("/proc/%d/fd/%d", pid, fd))
	if err != nil {
		return fmt.Errorf("open the namespace of %s: %w", node, err)
	}
	runtime.LockOSThread() // exec keeps the namespace of this thread
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter %s: %w", node, err)
	}
	env := append(os.Environ(), "VOSBED_NODE="+node, "VOSBED_SOCKET="+filepath.Join(dir, "nodes", node, "api.sock"))
	return fmt.Errorf("run %s: %w", path, unix.Exec(path, argv, env))
}
