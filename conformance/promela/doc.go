// Command promela has spin check the model of the spool protocol, spool.pml, in every state that
// it can reach, and shows that the model can fail: with each of its mutations an error is found.
//
//	go run ./conformance/promela            # what continuous integration runs
//	go run ./conformance/promela -full      # larger bounds, too: up to 8 GB
//	go run ./conformance/promela -run ORDER # runs whose name matches
//
// It needs spin and gcc (Debian packages of these names). README.md says what is modelled.
package main
