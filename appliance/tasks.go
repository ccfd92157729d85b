package appliance

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// task is one long-lived part: Run returns nil when ctx ends.
type task struct {
	name string
	run  func(context.Context) error
}

// runTasks runs all until ctx ends or one fails; the failure names its task.
func runTasks(ctx context.Context, tasks []task) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, t := range tasks {
		group.Go(func() error {
			if err := t.run(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (a *Appliance) tasks(ctx context.Context) ([]task, error) {
	tasks := []task{
		{"reconcile", a.loop.Run},
		{"data plane", a.engine.run},
		{"proxy", a.proxy.Run},
		{"health checks", a.health.Run},
		{"health edges", a.watchHealth},
		{"links", a.watchLinks},
		{"status", a.publishLoop},
		{"sentinel", a.pair.handle.Run},
		{"pair", a.pair.watch},
		{"defence", a.defend},
		{"replication", a.pair.repl.run},
		{"pending configuration", a.draft.Run},
		{"broken pair", a.part},
		{"graphs", a.stats.Run},
		{"local configuration", a.system.Run},
	}
	management, err := a.management(ctx)
	if err != nil {
		return nil, err
	}
	return append(tasks, management...), nil
}
