// Package archtest holds the tests that keep the shape of this module: who may
// import whom (design section 3), no clock in pure packages, one comment per package,
// no init functions, no sleeping, documented exports, files of readable size. The rules
// are a table in rules_test.go; one that applies to nothing fails, so none can rot.
package archtest
