package dptest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// Differential throws the same random packets and changes at the engine and at the
// model and demands the same verdict each time. A failure names the seed.
func Differential(t *testing.T, factory Factory, seed uint64, steps int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, seed))
	c := Case{Setup: strings.Join(setups(rnd), " ")}
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
		if !strings.Contains(line, ":") && !strings.Contains(line, ">") {
			model.do(line)
			engine.do(line)
			continue
		}
		want, got := model.verdict(line), engine.verdict(line)
		if want != got {
			t.Fatalf("seed %d (%s), step %d: the engine says %q, the model %q to the last of\n%s",
				seed, c.Setup, i, got, want, strings.Join(past[max(0, i-30):], "\n"))
		}
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

// randomLine is a packet line without its verdict, or a change.
func randomLine(rnd *rand.Rand, c Case) string {
	client := fmt.Sprintf("10.0.%d.%d", rnd.IntN(2), 1+rnd.IntN(12))
	port := 1000 + rnd.IntN(3)
	dst := []int{80, 80, 5000, 5001, 81, 8080}[rnd.IntN(6)]
	service := 0
	if c.has("shared") {
		service = rnd.IntN(2)
	}
	server := fmt.Sprintf("R%d%d", service, rnd.IntN(2))
	switch n := rnd.IntN(100); {
	case n < 45:
		return fmt.Sprintf("tcp %s %s:%d > V:%d", []string{"S", "A", "A", "FA", "R"}[rnd.IntN(5)], client, port, dst)
	case n < 65:
		return fmt.Sprintf("udp %s:%d > V:%d", client, port, dst)
	case n < 70:
		return fmt.Sprintf("udp first#%d %s:%d > V:%d", rnd.IntN(4), client, port, dst)
	case n < 75:
		return fmt.Sprintf("udp later#%d %s > V", rnd.IntN(4), client)
	case n < 80:
		return fmt.Sprintf("icmp error %s > V tcp %d %d", client, dst, port)
	case n < 82:
		return "lease " + []string{"on", "off"}[rnd.IntN(2)]
	case n < 87:
		// No timeout is a multiple of seven seconds: real time passes in the engine.
		return fmt.Sprintf("age %ds", 7*(1+rnd.IntN(6)))
	case n < 90:
		return "sweep"
	case n < 92:
		return fmt.Sprintf("max %s %d %d", server, rnd.IntN(4), 0)
	case n < 93:
		return "clear"
	}
	return []string{"drain ", "halt ", "down ", "online ", "online "}[rnd.IntN(5)] + server
}

// verdict sends a packet line and returns what became of it.
func (w *world) verdict(line string) string {
	w.t.Helper()
	p, o, err := parse(w.c, strings.Fields(line))
	if err != nil {
		w.fatal("%v", err)
	}
	frame, err := build(p, o)
	if err != nil {
		w.fatal("%v", err)
	}
	got, err := w.bench.Ingress(p, frame)
	if err != nil {
		w.fatal("%s: %v", line, err)
	}
	return got.String()
}
