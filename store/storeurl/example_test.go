package storeurl_test

import (
	"context"
	"fmt"
	"os"

	"github.com/boule-db/boule/store"
	"github.com/boule-db/boule/store/storeurl"
)

func ExampleOpen() {
	dir, err := os.MkdirTemp("", "replicas-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	s, err := storeurl.Open(ctx, "file://"+dir, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	if _, err := s.Put(ctx, "chunks/00%2F11", []byte("data"), store.Condition{}); err != nil {
		fmt.Println(err)
		return
	}
	for info, err := range s.List(ctx, "chunks/") {
		fmt.Println(info.Key, info.Size, err)
	}

	_, err = storeurl.Open(ctx, "replicas", nil)
	fmt.Println(err)
	// Output:
	// chunks/00%2F11 4 <nil>
	// bad store URL "replicas": it has no scheme; write file:///absolute/directory or s3://bucket/prefix
}

func ExampleParse() {
	u, err := storeurl.Parse("s3://replicas/prod?endpoint=http://127.0.0.1:9000")
	fmt.Println(u.Bucket, u.Prefix, u.Endpoint, u.PathStyle, err)
	// Output:
	// replicas prod http://127.0.0.1:9000 true <nil>
}
