// Package appliance is the composition root of the load balancer: the one place
// that knows every part and wires sources of facts to the reconcile loop and the
// loop to the actuators. It knows no flags and no signals, so two appliances can
// run in one test.
//
//	sources                          pure waist            actuators
//	config, overrides  ─┐                              ┌─► data plane (layer 4)
//	health             ─┼─► plan.Inputs ─► plan.Plan ──┼─► proxy (layer 7)
//	links              ─┘        reconcile.Loop        ├─► health (which checks to run)
//	                                                   └─► sentinel (VIPs, heartbeat, lease)
package appliance
