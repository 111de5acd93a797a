package copier

import (
	"context"
	"fmt"
)

// trying takes note of a request that failed and is tried again. The pass may fail a minute later, when somebody has long asked why nothing
// arrives. It may be called by several at a time, while the turn is taken.
func (c *Copier) trying(e *entry, err error) {
	if e.trying.Swap(&err) == nil {
		c.mu.Lock()
		path, target := names(e.key, e.status)
		told := e.status.LastError != nil
		c.mu.Unlock()
		if !told {
			c.opts.Logger.Warn("a request to the store failed, and is tried again", "db", path, "target", target, "err", err)
		}
	}
	e.reporting.trying(err)
	if !c.closing.Load() {
		c.report(e, reportEvery)
	}
}

// waited is the error of who waited for a pass in vain.
func (e *entry) waited(ctx context.Context) error {
	err := fmt.Errorf("wait for another pass: %w", context.Cause(ctx))
	if last := e.trying.Load(); last != nil {
		err = fmt.Errorf("%w (its last request: %v)", err, *last) //nolint:errorlint // nothing is decided by it
	}
	return err
}
