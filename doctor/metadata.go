package doctor

import (
	"encoding/json"
	"errors"

	"github.com/boule-db/boule/spool"
)

func parseMetadata(data []byte) (*spool.Metadata, error) {
	m := new(spool.Metadata)
	if err := json.Unmarshal(data, m); err != nil {
		return nil, err
	}
	if m.Version != 1 || m.Path == "" || m.Target.ID == "" {
		return nil, errors.New("it is incomplete, or of another version")
	}
	return m, nil
}
