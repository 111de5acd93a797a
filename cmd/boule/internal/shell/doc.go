// Package shell runs SQL and dot commands on one open SQLite connection, from
// arguments, a script, or interactively.
//
// It speaks the dialect of the sqlite3 program as far as it goes: the modes
// list, csv and json print what sqlite3 prints (for the exceptions see [Options]),
// and .dump writes SQL that both understand. It knows nothing of replication;
// it neither opens nor closes the connection, and it never runs other programs.
package shell
