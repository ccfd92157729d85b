package guest

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestProof(t *testing.T) {
	begin := time.Now
	for name, tt := range map[string]struct {
		healthy func(age time.Duration) bool
		ok      bool
		by      time.Duration
	}{
		"at once":       {func(time.Duration) bool { return true }, true, 20 * time.Second},
		"never":         {func(time.Duration) bool { return false }, false, proofTime + proofEvery},
		"late":          {func(age time.Duration) bool { return age > 4*time.Minute }, true, proofTime},
		"too late":      {func(age time.Duration) bool { return age > proofTime-proofSteady }, false, proofTime + proofEvery},
		"on and off":    {func(age time.Duration) bool { return age/time.Second%12 < 9 }, false, proofTime + proofEvery},
		"settles later": {func(age time.Duration) bool { return age/time.Second%12 < 9 || age > time.Minute }, true, 90 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				started := begin()
				waiting, ok := proof{proofEvery, proofSteady, proofTime, func(context.Context) (bool, string) {
					return tt.healthy(time.Since(started)), "the checks"
				}}.wait(t.Context())
				if took := time.Since(started); ok != tt.ok || took > tt.by {
					t.Errorf("%v after %s", ok, took)
				}
				if !ok && waiting != "the checks" {
					t.Errorf("it waited for %q", waiting)
				}
			})
		})
	}
}
