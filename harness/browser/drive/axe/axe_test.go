package axe_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/vosbed/vosbed/harness/browser/drive/axe"
)

// TestItIsWhatWasPublished pins the files: `npm pack axe-core@4.10.3` gives them.
func TestItIsWhatWasPublished(t *testing.T) {
	for name, want := range map[string]string{
		"axe.min.js":            "880970c081707360e64f34cea25ff91892f5bc95675b0776925b9709dd8a68bb",
		"LICENSE":               "af175b9d96ee93c21a036152e1b905b0b95304d4ae8c2c921c7609100ba8df7e",
		"LICENSE-3RD-PARTY.txt": "4f8563870d0fca38bbc3e00b6f670cb7fa9f380ba9f26a7f7d1184a6b18b1653",
	} {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has the sum %x, want %s", name, sum, want)
		}
	}
	if !strings.HasPrefix(axe.Source(), "/*! axe v"+axe.Version) {
		t.Errorf("the script is another version than %s", axe.Version)
	}
}
