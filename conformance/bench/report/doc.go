// Package report is the form in which measurements are printed: one table, each row a figure of one run with its
// spread and, where there is something to compare with, the ratio to that within the same run; and the limits that
// some of them must keep.
package report
