package graph

import (
	"math"
	"strconv"
	"strings"
)

// point is longitude and latitude of the first of these places that is a geo URI (RFC 5870, WGS 84); nil when none is.
func point(places ...string) *[2]float64 {
	for _, p := range places {
		rest, ok := strings.CutPrefix(p, "geo:")
		if !ok {
			continue
		}
		rest, params, _ := strings.Cut(rest, ";")
		if strings.Contains(params, "crs=") && !strings.Contains(strings.ToLower(params), "crs=wgs84") {
			continue
		}
		part := strings.Split(rest, ",")
		if len(part) != 2 && len(part) != 3 {
			continue
		}
		lat, err1 := strconv.ParseFloat(part[0], 64)
		lon, err2 := strconv.ParseFloat(part[1], 64)
		if err1 != nil || err2 != nil || !(math.Abs(lat) <= 90) || !(math.Abs(lon) <= 180) {
			continue
		}
		return &[2]float64{lon, lat}
	}
	return nil
}
