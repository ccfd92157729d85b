// Package verdict judges a run from its history alone. It is pure: the same
// history and expectations give the same result tomorrow, so that an old run
// can be judged again.
//
// [Compute] turns a history into metrics, [Judge] holds expectations against
// them and against the status records. An expectation is
//
//   - pass: it was observed to hold;
//   - fail: it was observed not to hold;
//   - inconclusive: the noise of the machine was too large to tell (floor,
//     pacer lateness, stolen CPU time);
//   - broken: there is nothing to judge by, for example no samples. Missing
//     data never passes.
//
// An expectation with a floor is also inconclusive when it is not met and the
// machine had taken a server out just before (false_downs{cause=machine}): a
// health check fails for want of CPU time as it does for a dead server, and the
// appliance is right to move clients then. For the same reason
// persistence_ratio excuses moves away from a server that the active
// appliance's status showed as not serving; a scenario bounds such moves by
// persistence_excused{reason=not_serving} and false_downs.
//
// The verdict of a run is the first of broken, fail, inconclusive, pass that
// any expectation has. Broken comes first because a lab that failed may have
// caused whatever else was seen: its run accuses nobody. The verdicts of the
// single expectations stay visible.
package verdict
