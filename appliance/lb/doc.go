// Package lb is the vocabulary of the appliance: plain domain values that every
// other package speaks, built on the standard library alone.
//
// Four things are kept apart by type, because mixing them is how load balancers
// lie to their operators: what was written ([Config]), what the operator wants
// now ([Override]), what is observed ([Health], [Role]) and what follows
// ([Status]). File tags live in package config, wire tags in package api.
package lb
