// Package axe carries axe-core, the accessibility engine of Deque Systems, as it was
// published: version 4.10.3 from the npm registry, under the Mozilla Public License
// 2.0 (LICENSE, LICENSE-3RD-PARTY.txt). It is for tests: the product does not ship it.
package axe

import _ "embed"

// Version of axe-core.
const Version = "4.10.3"

//go:embed axe.min.js
var source string

// Source returns the script, which defines the global axe.
func Source() string { return source }

// Tags are the rules of WCAG 2.2, levels A and AA.
func Tags() []string {
	return []string{"wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"}
}
