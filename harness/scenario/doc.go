// Package scenario is the language of the testbed: typed scenarios read strictly
// from YAML, with every mistake located.
package scenario
