// Package embed holds the SQLite that every Boule program runs: WebAssembly,
// which package host compiles and runs.
//
// It is bytes and facts about them. Importing it sets nothing and starts
// nothing. README.md in this directory says how the binary is built, and what
// differs from the one that go-sqlite3 brings; NOTICE says under which terms.
package embed
