// Package mem is a store in memory, for tests.
package mem
