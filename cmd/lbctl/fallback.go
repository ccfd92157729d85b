package main

import (
	"github.com/spf13/cobra"

	"github.com/vosbed/vosbed/appliance/api"
)

// maxPage bounds the file of a page in bytes; the daemon takes fewer.
const maxPage = 1 << 19

func (a *app) fallbackCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fallback",
		Short: "Show or change the fallback page",
		Long: `fallback shows or changes the page that clients of a layer-7 virtual service get, with
status 503, while all of its real servers are down or halted (guide 9.5: port 9081).
The page is this node's own and is not copied to the peer. proxy.fallback=false
switches it off for a service, whose clients are refused then.`,
		Args: subcommand, RunE: a.group,
	}
	cmd.AddCommand(a.fallbackShow(), a.fallbackSet(), a.fallbackReset())
	return cmd
}

func (a *app) fallbackShow() *cobra.Command {
	return &cobra.Command{
		Use: "show", Short: "Print the page in use", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *api.Client) error {
				page, err := c.FallbackPage(cmd.Context())
				if err != nil {
					return err
				}
				return a.print(page, page.HTML)
			})
		},
	}
}

func (a *app) fallbackSet() *cobra.Command {
	return &cobra.Command{
		Use: "set FILE", Short: "Use a page of your own",
		Long: `set takes an HTML file of at most 256 kB. Styles and pictures (data: URLs) must be in
the file itself: scripts and anything from elsewhere are not shown.`,
		Example: "  lbctl fallback show > page.html\n  lbctl fallback set page.html",
		Args:    files("an HTML page", 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			page, err := small(args[0], maxPage)
			if err != nil {
				return err
			}
			return a.edit(args[0]+" is the fallback page", func(c *api.Client) error { return c.SetFallbackPage(cmd.Context(), string(page)) })
		},
	}
}

func (a *app) fallbackReset() *cobra.Command {
	return &cobra.Command{
		Use: "reset", Short: "Use the built-in page again", Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.edit("the built-in page is the fallback page", func(c *api.Client) error { return c.ResetFallbackPage(cmd.Context()) })
		},
	}
}
