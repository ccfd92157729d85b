// Package verdict judges a run from its history alone. It is pure: the same
// history and expectations give the same result tomorrow, so that an old run
// can be judged again.
//
// [Compute] turns a history into metrics, [Judge] holds expectations against
// them and against the status records. An expectation is
//
//   - pass: it was observed to hold;
//   - fail: it was observed not to hold;
//   - inconclusive: the noise of the machine was too large to tell;
//   - broken: there is nothing to judge by, for example no samples. Missing
//     data never passes;
//   - reported: what was observed is told and not judged, as the expectation says.
//
// Noise makes an expectation with a floor inconclusive in two ways. A limit of
// time that is kept is so where the noise floor of the run, the pacer or stolen
// CPU time passed its bound. A limit that is not kept is so where there is an
// excuse for each value beyond it: the floor, or what was seen around that very
// value, which is that timers were late, that the host or processes outside the lab
// took CPU time, or that the machine had taken a server out just before
// (false_downs{cause=machine}: a health check fails for want of CPU time as it does
// for a dead server, and the appliance is right to move clients then). One value
// without an excuse fails, and so does one that is beyond what noise explains.
// Without a floor, limits of time have the first two of these excuses only.
//
// For the same reason persistence_ratio excuses moves away from a server that the
// active appliance's status showed as not serving; a scenario bounds such moves by
// persistence_excused{reason=not_serving} and false_downs.
//
// The verdict of a run is broken when the lab failed: that may have caused whatever
// else was seen, and accuses nobody. Otherwise it is the first of fail, broken,
// inconclusive, pass that any expectation has. In a run that was cut short what is
// missing, or might have come, is inconclusive: it was stopped, or a step or the
// start of the programs took too long when the machine stood still for a fifth of
// that time. The verdicts of the single expectations stay visible.
package verdict
