package front

import (
	"net/netip"
	"testing"
)

func TestPlacesComeBack(t *testing.T) {
	s := limitSources(nil, 1)
	a := source(netip.MustParseAddr("192.0.2.1"))
	if !s.enter(a) || s.enter(a) {
		t.Error("the bound does not hold")
	}
	if s.leave(a); len(s.open) != 0 || !s.enter(a) {
		t.Error("a place is not given back")
	}
}
