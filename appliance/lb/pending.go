package lb

import "time"

// PendingStatus is what of the configuration is not in force yet, or on trial only.
type PendingStatus struct {
	Changes int       // 0 = nothing is pending
	Author  string    // of the latest change
	Trial   time.Time // until when the configuration in force is on trial, zero = it is not
}
