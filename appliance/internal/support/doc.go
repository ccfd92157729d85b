// Package support helps people who help: it looks at a node and says what is wrong with
// it ([Diagnose], a pure function of [Facts]), and packs what they need to know into one
// archive without secrets ([Archive], guide 9.3.1: Support).
//
// Secrets are kept out of an archive twice. No source reads a file that holds one; and
// whatever a source returned is searched for each secret of the node, as it is and in
// base64 and hexadecimal digits, and for what looks like one, before it is packed.
package support
