package site

import "time"

func nowhere() time.Time { return time.Unix(1_800_000_000, 0) }
