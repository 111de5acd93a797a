// Package faultloop runs an operation again and again, each time with another one
// of its file operations failing, until a run gets by without a fault. It is for
// tests only:
//
//	faultloop.Run(t, func(t *testing.T, plan *fsx.Plan) {
//		root := spool.Open(spool.Options{WrapFS: plan.Wrap, ...})
//		err := root.Something()
//		// whatever err is: do the invariants hold?
//		// And when plan.Hit() is "", was it a success?
//	})
//
// The operation must be new in each run: the directory, and all that it keeps
// in memory.
package faultloop
