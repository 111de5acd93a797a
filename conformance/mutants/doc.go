// Command mutants shows that the tests can fail: it breaks the code in one place at a time, in a
// copy that only the compiler sees, and expects that a test notices.
//
//	go run ./conformance/mutants              # all; exits 1 if one of them survives
//	go run ./conformance/mutants -run '^I8$'  # those whose id matches
//	go run ./conformance/mutants -quick       # those that continuous integration runs
//	go run ./conformance/mutants -list
//
// The table names what each of them breaks: an invariant of spool/SPOOL.md, a weakness that others
// have, or the protocol in a way that the model of conformance/promela is broken in, too. The test
// must pass with the code as it is, and fail with the mutant; one that does not compile, or
// is not found exactly once in the code, is a fault of the table.
package main
