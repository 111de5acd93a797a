// Command info prints what package host says of itself.
package main

import (
	"encoding/json"
	"os"

	"github.com/boule-db/boule/host"
)

func main() {
	if err := json.NewEncoder(os.Stdout).Encode(host.Info()); err != nil {
		panic(err)
	}
}
