// Package host runs SQLite: it hands the WebAssembly binary of package embed to
// go-sqlite3, with a runtime configuration and a compilation cache, and opens
// connections.
//
// It is the only package that knows wazero. SQLite is compiled once per process;
// where wazero has a compiler for the machine, the machine code is kept in a
// private directory, so that later processes start some twenty times faster.
// That cache holds code that gets executed, and wazero takes a damaged entry for
// a fatal error. So host uses a directory only when nobody else can write to it,
// keeps a checksum beside each entry, tries an entry out before go-sqlite3 may
// see it, and throws away what fails. No state of the cache makes Init fail.
package host
