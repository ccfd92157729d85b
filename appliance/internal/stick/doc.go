// Package stick is the layer-7 persistence table: which real server a client of a
// service belongs to. One entry covers all ports of the service.
//
// An entry is reserved when the decision is taken, not when the server has
// answered: parallel first connections of one client therefore never split
// (HAProxy stores only after the connect, its issue 3243). The core is pure: it
// takes the time as an argument, owns no clock and starts nothing. [Face] lends it
// the clock and the faces that replication and the API expect.
package stick
