package target_test

import (
	"encoding/json"
	"fmt"

	"github.com/boule-db/boule/store/target"
)

func Example() {
	var t target.Target
	err := json.Unmarshal([]byte(`{"s3": {"region": "eu-central-1", "bucket": "replicas", "prefix": "prod", "domain_addressing": true}}`), &t)
	fmt.Println(t, err)

	same, err := target.FromURL("s3://replicas/prod?region=eu-central-1")
	fmt.Println(same.ID() == t.ID(), err)

	err = json.Unmarshal([]byte(`{"file": {"directory": "replicas"}}`), &t)
	fmt.Println(err)
	// Output:
	// s3://replicas/prod?region=eu-central-1 <nil>
	// true <nil>
	// bad replication target: file: the directory "replicas" is relative; write an absolute path
}
