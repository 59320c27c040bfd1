package burst

import (
	"errors"

	"golang.org/x/sys/windows"
)

const flagCut = windows.MSG_TRUNC

// isCut reports whether the error only says that the datagram was longer than the buffer.
func isCut(err error) bool { return errors.Is(err, windows.WSAEMSGSIZE) }
