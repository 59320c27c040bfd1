package query

import (
	"cmp"
	"math"
	"strconv"
	"strings"

	"github.com/fujie-id/fujie/trace/epcis"
)

// unit is a unit of UN/CEFACT Recommendation 20: value × factor + offset is the value in its dimension's first unit.
type unit struct {
	dimension uint8
	factor    float64
	offset    float64
}

// unitTable has a line for each dimension: code=factor, or code=factor+offset.
const unitTable = `
KGM=1 GRM=1e-3 MGM=1e-6 MC=1e-9 CGM=1e-5 DG=1e-4 DJ=1e-2 HGM=0.1 DTN=100 TNE=1e3 2U=1e3 KTN=1e6 LBR=0.45359237 ONZ=0.028349523125 APZ=0.0311034768 STI=6.35029318 STN=907.18474 LTN=1016.0469088 CWA=45.359237 CWI=50.80234544 CTM=2e-4 GRN=6.479891e-5
MTR=1 DMT=0.1 CMT=1e-2 MMT=1e-3 4H=1e-6 C45=1e-9 KMT=1e3 INH=0.0254 FOT=0.3048 YRD=0.9144 SMI=1609.344 NMI=1852
MTK=1 DMK=1e-2 CMK=1e-4 MMK=1e-6 KMK=1e6 HAR=1e4 ARE=100 ACR=4046.8564224 INK=6.4516e-4 FTK=0.09290304 YDK=0.83612736 MIK=2589988.110336
MTQ=1 DMQ=1e-3 CMQ=1e-6 MMQ=1e-9 LTR=1e-3 DLT=1e-4 CLT=1e-5 MLT=1e-6 4G=1e-9 HLT=0.1 A44=1e-2 K6=1 MAL=1e3 GLL=0.003785411784 GLI=0.00454609 PTL=4.73176473e-4 QTL=9.46352946e-4 PTI=5.6826125e-4 QTI=1.1365225e-3 OZA=2.95735295625e-5 OZI=2.84130625e-5 INQ=1.6387064e-5 FTQ=0.028316846592 YDQ=0.764554857984 BLL=0.158987294928
KEL=1 CEL=1+273.15 FAH=0.5555555555555556+255.3722222222222 A48=0.5555555555555556
SEC=1 C26=1e-3 B98=1e-6 C47=1e-9 MIN=60 HUR=3600 DAY=86400 WEE=604800
PAL=1 A97=100 KPA=1e3 MPA=1e6 BAR=1e5 MBR=100 ATM=101325 PS=6894.757293168361 HN=133.322387415
JOU=1 KJO=1e3 3B=1e6 WHR=3600 KWH=3.6e6 MWH=3.6e9 GWH=3.6e12 E14=4186.8
WTT=1 C31=1e-3 KWT=1e3 MAW=1e6 A90=1e9
MTS=1 KMH=0.2777777777777778 HM=0.44704 KNT=0.5144444444444445 2M=1e-2
HTZ=1 KHZ=1e3 MHZ=1e6 A86=1e9
VLT=1 2Z=1e-3 KVT=1e3
AMP=1 4K=1e-3
OHM=1 B49=1e3 B75=1e6
C62=1 EA=1 H87=1 PR=2 DZN=12 GRO=144 CEN=100 MIL=1000
P1=1e-2 59=1e-6 61=1e-9
LUX=1 KLX=1e3
GL=1 KMQ=1 M1=1e-3 A93=1e-3 23=1e3 GP=1e-6 GQ=1e-9
NEW=1 B47=1e3
C81=1 DD=0.017453292519943295 D61=2.908882086657216e-4 D62=4.84813681109536e-6
MSK=1 K40=9.80665
A99=1 AD=8 2P=8e3 4L=8e6 E34=8e9 E35=8e12
BQL=1 2Q=1e3 4N=1e6 CUR=3.7e10
D13=1 C28=1e-3
`

var units = func() map[string]unit {
	m := map[string]unit{}
	for i, line := range strings.Split(strings.TrimSpace(unitTable), "\n") {
		for entry := range strings.FieldsSeq(line) {
			code, text, _ := strings.Cut(entry, "=")
			text, shift, _ := strings.Cut(text, "+")
			u := unit{dimension: uint8(i)}
			u.factor, _ = strconv.ParseFloat(text, 64)
			if shift != "" {
				u.offset, _ = strconv.ParseFloat(shift, 64)
			}
			m[code] = u
		}
	}
	return m
}()

// compareUnits compares a value with another of another unit: -1, 0 or 1. It is not ok when one is no number or the units are of different dimensions. Units
// that are not in the table compare with themselves only. A difference, such as a standard deviation, has no offset.
func compareUnits(a epcis.Decimal, unitA string, b epcis.Decimal, unitB string, difference bool) (c int, ok bool) {
	if !a.IsValid() {
		return 0, false
	}
	if unitA == unitB {
		return compareNumbers(a, b), true
	}
	ua, okA := units[unitA]
	ub, okB := units[unitB]
	if !okA || !okB || ua.dimension != ub.dimension {
		return 0, false
	}
	if ua.factor == ub.factor && ua.offset == ub.offset {
		return compareNumbers(a, b), true
	}
	x, okA := a.Float()
	y, okB := b.Float()
	if !okA || !okB {
		return 0, false
	}
	if difference {
		ua.offset, ub.offset = 0, 0
	}
	x, y = x*ua.factor+ua.offset, y*ub.factor+ub.offset
	// Conversion rounds: 26 °C and 78.8 °F are the same.
	switch d := x - y; {
	case math.Abs(d) <= 1e-12*max(math.Abs(x), math.Abs(y)):
		return 0, true
	case d < 0:
		return -1, true
	}
	return 1, true
}

// compareNumbers compares two numbers exactly. Up to 15 digits a float64 tells any two apart.
func compareNumbers(a, b epcis.Decimal) int {
	if len(a) <= 15 && len(b) <= 15 || len(a) > maxDigits || len(b) > maxDigits {
		x, _ := a.Float()
		y, _ := b.Float()
		return cmp.Compare(x, y)
	}
	return a.Cmp(b)
}

// maxDigits is how long a number may be to be compared exactly.
const maxDigits = 400
