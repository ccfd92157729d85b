package api

import (
	"context"
	"net/url"
	"time"
)

// PathStats are the graphs: GET, query range (a Go duration up to 8760h).
const PathStats = "/api/v1/stats"

// Names of the series of Stats.
const (
	SeriesRX     = "rx"     // bytes per second that the node received
	SeriesTX     = "tx"     // bytes per second that it sent
	SeriesLoad1  = "load1"  // load averages
	SeriesLoad5  = "load5"  //
	SeriesLoad15 = "load15" //
	SeriesMemory = "memory" // bytes in use
)

// Stats are samples at equal distances. A value that was not measured is null.
type Stats struct {
	From  time.Time     `json:"from"`
	Step  time.Duration `json:"step_ns"`
	Serie []Series      `json:"series"`
}

// Series is one line of a graph with what it comes to. Total is of rates only: the sum
// over time.
type Series struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"`
	Min    *float64   `json:"min"`
	Avg    *float64   `json:"avg"`
	Max    *float64   `json:"max"`
	Total  *float64   `json:"total,omitempty"`
}

// Stats returns the samples of the latest time.
func (c *Client) Stats(ctx context.Context, span time.Duration) (Stats, error) {
	var out Stats
	q := url.Values{"range": {span.String()}}
	err := c.get(ctx, PathStats+"?"+q.Encode(), &out)
	return out, err
}
