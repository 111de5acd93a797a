//go:build !unix

package embed_test

import "time"

var began = time.Now()

// clock is the time of day.
func clock() time.Duration { return time.Since(began) }
