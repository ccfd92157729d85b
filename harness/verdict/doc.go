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
// The verdict of a run is the first of broken, fail, inconclusive, pass that
// any expectation has. Broken comes first because a lab that failed may have
// caused whatever else was seen: its run accuses nobody. The verdicts of the
// single expectations stay visible.
package verdict
