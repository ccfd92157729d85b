package dptest

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

// Differential throws the same random packets and changes at the engine and at the
// model and demands the same verdict each time, and counters that account for all of
// them. A failure names the seed. words are added to the setup, such as "v6".
func Differential(t *testing.T, factory Factory, seed uint64, steps int, words ...string) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, seed))
	c := Case{Setup: strings.Join(append(setups(rnd), words...), " ")}
	model, engine := newWorld(t, c), newWorld(t, c)
	model.bench = NewModel()
	engine.bench = factory(t, engine.table)
	model.apply()
	engine.apply()
	for i := range model.table.Services {
		for j, r := range model.table.Services[i].Reals {
			label := fmt.Sprintf("R%d%d", i, j)
			model.labels[label], engine.labels[label] = r.Addr, r.Addr
		}
	}
	var past []string
	for i := range steps {
		line := randomLine(rnd, c)
		past = append(past, line)
		model.line, engine.line = i, i
		if !strings.Contains(line, ">") {
			model.do(line)
			engine.do(line)
			continue
		}
		words := strings.Fields(line)
		want, got := model.verdict(words), engine.verdict(words)
		if want != got {
			t.Fatalf("seed %d (%s), step %d: the engine says %q, the model %q to the last of\n%s",
				seed, c.Setup, i, got, want, strings.Join(past[max(0, i-30):], "\n"))
		}
	}
	model.audit()
	engine.audit()
	if want, got := model.lost(), engine.lost(); want != got {
		t.Errorf("seed %d (%s): the engine has lost the flows of %+v, the model of %+v", seed, c.Setup, got, want)
	}
}

func setups(rnd *rand.Rand) []string {
	var out []string
	for _, word := range []string{"maglev", "nopersist", "drainpersistent", "shared", "three", "mask24", "tcponly", "leased"} {
		if rnd.IntN(3) == 0 {
			out = append(out, word)
		}
	}
	return out
}

// randomClient is one of a few, some of which share a prefix of persistence.
func randomClient(rnd *rand.Rand, c Case) netip.Addr {
	net, host := byte(rnd.IntN(2)), byte(1+rnd.IntN(12))
	if c.has("v6") {
		return netip.AddrFrom16([16]byte{0: 0xfd, 7: net<<2 | host%4, 15: host})
	}
	return netip.AddrFrom4([4]byte{10, 0, net, host})
}

// randomLine is a packet line without its verdict, or a change.
func randomLine(rnd *rand.Rand, c Case) string {
	ip := randomClient(rnd, c)
	client := netip.AddrPortFrom(ip, uint16(1000+rnd.IntN(3)))
	dst := []int{80, 80, 5000, 5001, 81, 8080}[rnd.IntN(6)]
	service := 0
	if c.has("shared") {
		service = rnd.IntN(2)
	}
	server := fmt.Sprintf("R%d%d", service, rnd.IntN(2))
	opts := []string{"", "", "", "opts "}[rnd.IntN(4)]
	switch n := rnd.IntN(100); {
	case n < 45:
		return fmt.Sprintf("tcp %s %s%s > V:%d", []string{"S", "A", "A", "FA", "R"}[rnd.IntN(5)], opts, client, dst)
	case n < 65:
		return fmt.Sprintf("udp %s%s > V:%d", opts, client, dst)
	case n < 70:
		return fmt.Sprintf("udp first#%d %s > V:%d", rnd.IntN(4), client, dst)
	case n < 75:
		return fmt.Sprintf("udp later#%d %s > V", rnd.IntN(4), ip)
	case n < 80:
		return fmt.Sprintf("icmp error %s > V tcp %d %d", ip, dst, client.Port())
	case n < 82:
		return "lease " + []string{"on", "off"}[rnd.IntN(2)]
	case n < 87:
		// Real time passes in the engine: no multiple of 22 s is less than eight seconds
		// below a timeout (10, 30, 60, 120, 300, 900 s), so a stall does not reach one.
		return fmt.Sprintf("age %ds", 22*(1+rnd.IntN(2)))
	case n < 90:
		return "sweep"
	case n < 92:
		return fmt.Sprintf("max %s %d %d", server, rnd.IntN(4), 0)
	case n < 93:
		return "clear"
	}
	return []string{"drain ", "halt ", "down ", "online ", "online "}[rnd.IntN(5)] + server
}
