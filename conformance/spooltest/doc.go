// Package spooltest helps tests of spools: [Check] has package doctor judge a tree, a [Toy] is
// the least copier, and a [Remote] what it has uploaded.
package spooltest
