// Bench is what stands behind `make bench`: it runs the benchmarks that the
// project is judged by, prints one table, and writes it with the spread of every
// value and a description of the machine as Markdown and JSON.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	dir := flag.String("o", "docs/benchmarks", "`folder` of the reports; empty = print only")
	rounds := flag.Int("rounds", 6, "`times` each benchmark is run")
	note := flag.String("note", "", "`sentence` about the circumstances, for the report")
	flag.Parse()
	if flag.NArg() > 0 || *rounds < 1 {
		flag.Usage()
		return 2
	}
	r, err := measure(ctx, *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	r.Note = *note
	if err := errors.Join(writeText(os.Stdout, r), save(*dir, r), r.complete()); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 1
	}
	return 0
}

// measure runs all suites.
func measure(ctx context.Context, rounds int) (report, error) {
	r := report{Started: time.Now().UTC().Truncate(time.Second), Rounds: rounds, Machine: machine(ctx)}
	before := cpuTimes()
	for _, s := range suites() {
		fmt.Fprintf(os.Stderr, "%s: %s\n", s.title, s.about)
		v, err := s.run(ctx, rounds)
		if err != nil {
			return report{}, err
		}
		r.Sections = append(r.Sections, section{Title: s.title, About: s.about, Rows: s.rows(v)})
	}
	r.Took = time.Since(r.Started).Round(time.Second).String()
	r.Machine.LoadAfter = loadAverage()
	r.Machine.BusyPercent, r.Machine.StealPercent = cpuTimes().since(before)
	return r, nil
}
