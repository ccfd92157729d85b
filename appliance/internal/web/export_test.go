package web

import "bytes"

// Routes are the rows of the router, for tests that must not miss one.
func (s *Server) Routes() (closed, open [][2]string) {
	for _, row := range s.routes() {
		if row.open {
			open = append(open, [2]string{row.method, row.path})
			continue
		}
		closed = append(closed, [2]string{row.method, row.path})
	}
	return closed, open
}

// Local is where a page leads that was asked to lead to next.
func Local(next string) string { return local(next) }

// Event is a region as it is streamed.
func Event(name, html string) string {
	var b bytes.Buffer
	writeEvent(&b, name, html)
	return b.String()
}
