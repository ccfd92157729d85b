package main

import (
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance"
	"github.com/vosbed/vosbed/appliance/config"
	"github.com/vosbed/vosbed/appliance/lb"
	"github.com/vosbed/vosbed/internal/strictyaml"
)

// mistakes is everything wrong with a configuration file.
type mistakes struct {
	file string
	errs strictyaml.Errors
}

func (m *mistakes) summary() string {
	word := "mistakes"
	if len(m.errs) == 1 {
		word = "mistake"
	}
	return fmt.Sprintf("%s has %d %s", m.file, len(m.errs), word)
}

// Error returns their number; complain shows each with its line.
func (m *mistakes) Error() string { return m.summary() }

// Unwrap makes it count as a mistake in what was given.
func (m *mistakes) Unwrap() error { return inputError(m.summary()) }

func (m *mistakes) lines() []string {
	out := make([]string, len(m.errs))
	for i, e := range m.errs {
		out[i] = e.Error()
	}
	return out
}

// readFile reads a file that has at most that many bytes. It never reads much more,
// however big the file or endless the device is.
func readFile(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("%s has more than %d bytes: is it the right file?", path, most)
	}
	return data, nil
}

func load(path string) (lb.Config, error) {
	data, err := readFile(path, strictyaml.MaxBytes)
	if err != nil {
		return lb.Config{}, inputError("read the configuration: " + err.Error())
	}
	cfg, err := config.Parse(path, data)
	if errs := config.ErrorsOf(err); errs != nil {
		return lb.Config{}, &mistakes{path, errs}
	}
	return cfg, err
}

func (a *app) checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Find every mistake in a configuration file",
		Long: `check reads a configuration file as the daemon does and reports all mistakes at
once, each with its line. It needs no daemon and changes nothing.`,
		Example: "  lbctl check /etc/vosbed/config.yaml",
		Args:    oneFile,

		ValidArgsFunction: yamlFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := load(args[0])
			if err != nil {
				return err
			}
			servers := 0
			for _, svc := range cfg.Services {
				servers += len(svc.Reals)
			}
			return a.print(
				map[string]any{"file": args[0], "ok": true, "revision": config.Revision(cfg), "services": len(cfg.Services), "servers": servers},
				fmt.Sprintf("%s is fine: services %d, real servers %d\n", args[0], len(cfg.Services), servers))
		},
	}
}

func (a *app) planCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "plan FILE",
		Short: "Show what a configuration file would program",
		Long: `plan shows the VIPs, services, servers and health checks (with their resolved
URLs) that the daemon would set up. It needs no daemon and changes nothing.`,
		Example: "  lbctl plan /etc/vosbed/config.yaml",
		Args:    oneFile,

		ValidArgsFunction: yamlFiles,
		RunE: func(_ *cobra.Command, args []string) error {
			cfg, err := load(args[0])
			if err != nil {
				return err
			}
			return a.print(planned{args[0], config.Revision(cfg), appliance.PlanJSON(cfg)}, appliance.PlanText(cfg))
		},
	}
}

// planned is the plan of a file in JSON.
type planned struct {
	File     string `json:"file"`
	Revision string `json:"revision"`
	appliance.PlanDocument
}
