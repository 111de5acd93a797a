// Package workload is what every engine is made to do: the same statements on the same tables, from one process with
// one connection, described on a command line and reported in one line of JSON. stock/workload.c is the same in C.
package workload
