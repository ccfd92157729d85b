// Command lbinit is the first process of the appliance's image; see package guest.
package main

import (
	"fmt"
	"os"

	"github.com/vosbed/vosbed/images/guest"
)

func main() {
	if err := guest.Main(); err != nil {
		fmt.Fprintln(os.Stderr, "lbinit:", err)
		os.Exit(1)
	}
}
