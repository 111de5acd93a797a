package instance

import (
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
)

// Process returns "<pid>.<birth>", which no other process of this boot has: birth
// is when the process started or, where that can't be found out, a random number.
func Process() string { return process() }

var process = sync.OnceValue(func() string {
	birth, err := processBirth()
	if err != nil {
		birth = rand.Uint32()
	}
	return formatProcess(os.Getpid(), birth)
})

func formatProcess(pid int, birth uint32) string {
	return strconv.Itoa(pid) + "." + strconv.FormatUint(uint64(birth), 10)
}
