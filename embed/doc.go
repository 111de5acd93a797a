// Package embed holds the SQLite that every Boule program runs: WebAssembly,
// which package host compiles and runs.
//
// It is bytes and facts about them. Importing it sets nothing and starts
// nothing. NOTICE in this directory says where the binary comes from and under
// which terms.
package embed
