package irp

import "github.com/fujie-id/fujie/record"

// Nobody writes without ever answering a challenge, for tests from outside.
func Nobody(c *Client, at record.Endpoint) record.Registrar { return anybody{c, at} }
