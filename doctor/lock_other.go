//go:build !linux && !darwin

package doctor

import (
	"errors"
	"os"
)

func lockShared(*os.File) (unlock func(), err error) { return nil, errors.ErrUnsupported }

func identify(*os.File) (dev, ino uint64, err error) { return 0, 0, errors.ErrUnsupported }
