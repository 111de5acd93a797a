// Command modernc runs a workload with modernc.org/sqlite: C SQLite translated to Go.
package main
