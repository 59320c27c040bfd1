package bench

import "context"

// An errand is a measurement with a beginning and an end of its own, not a load on servers that run.
type errand struct {
	name string
	run  func(ctx context.Context, h *Host, r *Report) error
}

func errands() []errand {
	return []errand{
		{"bulk", bulk},
		{"large", large},
	}
}

// batch is how many records are made durable together, in both bulk subjects.
const batch = 1000
