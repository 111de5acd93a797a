package boule

import (
	"context"
	"encoding/json"
	"time"
)

// pragmaTimeout bounds an upload that a pragma waits for.
const pragmaTimeout = 5 * time.Minute

// flushPragma answers PRAGMA boule_flush_replication_data.
func (e *engine) flushPragma(path string) error {
	ctx, cancel := context.WithTimeout(context.Background(), pragmaTimeout)
	defer cancel()
	return e.flush(ctx, path, flushing)
}

// uploadPragma is flushPragma for a connection that keeps the database locked, and
// has staged it.
func (e *engine) uploadPragma(path string) error {
	if err := e.whyNot(); err != nil {
		return err
	}
	c := e.currentCopier()
	if c == nil {
		return ErrClosed
	}
	ctx, cancel := context.WithTimeout(context.Background(), pragmaTimeout)
	defer cancel()
	return e.upload(ctx, c, path, flushing)
}

// statusPragma answers PRAGMA boule_replication_status.
func (e *engine) statusPragma(path string) string {
	h, ok := e.manager.Health(path)
	if !ok {
		return `{"state":"untracked"}`
	}
	out := map[string]any{"path": h.Path, "state": h.State, "since": h.Since}
	if h.LastError != nil {
		out["error"] = h.LastError.Error()
	}
	b, err := json.Marshal(out)
	if err != nil {
		return `{"state":"unknown"}`
	}
	return string(b)
}
