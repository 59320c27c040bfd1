package epcis

import "strings"

// WordKind is a list of words of the CBV, or of the Web Vocabulary for what sensors say.
type WordKind uint8

// The kinds of words. The zero kind is none: Word leaves such text as it is.
const (
	_               WordKind = iota
	BizStep                  // CBV 2.0, 7.1
	Disposition              // 7.2; persistent ones too
	TransactionType          // 7.3
	PartyType                // 7.4, of sources and destinations
	ErrorReason              // 7.5
	Measurement              // what a sensor report measures
	Exception                // ALARM_CONDITION, ERROR_CONDITION
	Component                // of a vector: x, latitude
	wordKinds
)

const (
	cbvWeb = "https://ref.gs1.org/cbv/"
	vocWeb = "https://gs1.org/voc/"
	epcWeb = "https://ref.gs1.org/epcis/"
	cbvURN = "urn:epcglobal:cbv:"
)

// vocabulary is how the words of a kind are spelt.
type vocabulary struct {
	web   string // the URI before a word
	curie string
	urn   string // empty: there is none
	words string // separated by spaces, in the standard's order
	old   string // words of CBV 1.2 that 2.0 no longer has; they are kept as URIs
}

var vocabularies = [wordKinds]vocabulary{
	BizStep: {cbvWeb + "BizStep-", "cbv:BizStep-", cbvURN + "bizstep:",
		"accepting arriving assembling collecting commissioning consigning creating_class_instance cycle_counting decommissioning departing destroying disassembling dispensing encoding entering_exiting holding inspecting installing killing loading other packing picking receiving removing repackaging repairing replacing reserving retail_selling sampling sensor_reporting shipping staging_outbound stock_taking stocking storing transporting unloading unpacking void_shipping", ""},
	Disposition: {cbvWeb + "Disp-", "cbv:Disp-", cbvURN + "disp:",
		"active available completeness_verified completeness_inferred conformant container_closed container_open damaged destroyed dispensed disposed encoded expired in_progress in_transit inactive mismatch_instance mismatch_class mismatch_quantity needs_replacement no_pedigree_match non_conformant non_sellable_other partially_dispensed recalled reserved retail_sold returned sellable_accessible sellable_not_accessible stolen unavailable unknown",
		"non_sellable_expired non_sellable_damaged non_sellable_disposed non_sellable_no_pedigree_match non_sellable_recalled"},
	TransactionType: {cbvWeb + "BTT-", "cbv:BTT-", cbvURN + "btt:", "bol cert desadv inv pedigree po poc prodorder recadv rma testprd testres upevt", ""},
	PartyType:       {cbvWeb + "SDT-", "cbv:SDT-", cbvURN + "sdt:", "owning_party possessing_party location", ""},
	ErrorReason:     {cbvWeb + "ER-", "cbv:ER-", cbvURN + "er:", "did_not_occur incorrect_data", ""},
	Measurement: {vocWeb, "gs1:", "",
		"AbsoluteHumidity AbsorbedDose AbsorbedDoseRate Acceleration Radioactivity Altitude AmountOfSubstance AmountOfSubstancePerUnitVolume Angle AngularAcceleration AngularMomentum AngularVelocity Area Capacitance Conductance Conductivity Count Density Dimensionless DoseEquivalent DoseEquivalentRate DynamicViscosity ElectricCharge ElectricCurrent ElectricCurrentDensity ElectricFieldStrength Energy Exposure Force Frequency Illuminance Inductance Irradiance KinematicViscosity Length LinearMomentum Luminance LuminousFlux LuminousIntensity MagneticFlux MagneticFluxDensity MagneticVectorPotential Mass MassConcentration MassFlowRate MassPerAreaTime MemoryCapacity MolalityOfSolute MolarEnergy MolarMass MolarVolume Power Pressure RadiantFlux RadiantIntensity RelativeHumidity Resistance Resistivity SolidAngle SpecificVolume Speed SurfaceDensity SurfaceTension Temperature Time Torque Voltage Volume VolumeFlowRate VolumeFraction VolumetricFlux Wavenumber", ""},
	Exception: {vocWeb, "gs1:", "", "ALARM_CONDITION ERROR_CONDITION", ""},
	Component: {cbvWeb + "Comp-", "cbv:Comp-", cbvURN + "comp:",
		"x y z axial_distance azimuth height spherical_radius polar_angle elevation_angle easting northing latitude longitude altitude", ""},
}

// known holds every standard word with the URI that stands for it, by kind; the text is shared, so that a word that is read costs no memory.
var known = func() (m [wordKinds]map[string]string) {
	for k := range m {
		m[k] = map[string]string{}
		for w := range strings.FieldsSeq(vocabularies[k].words) {
			m[k][w] = vocabularies[k].web + w
		}
	}
	return m
}()

// Words are the standard's words of a kind, bare.
func Words(kind WordKind) []string {
	if kind >= wordKinds {
		return nil
	}
	return strings.Fields(vocabularies[kind].words)
}

// IsWord says whether s is a bare standard word of the kind.
func IsWord(kind WordKind, s string) bool {
	if kind >= wordKinds {
		return false
	}
	_, ok := known[kind][s]
	return ok
}

// Word is the bare word, "receiving", of any spelling of a standard word: the bare one, urn:epcglobal:cbv:bizstep:receiving,
// https://ref.gs1.org/cbv/BizStep-receiving, cbv:BizStep-receiving. A word of somebody else's vocabulary comes back as its URI, the prefixes cbv, gs1 and epcis expanded.
func Word(kind WordKind, s string) string {
	if kind == 0 || kind >= wordKinds || strings.IndexByte(s, ':') < 0 {
		return s
	}
	v := &vocabularies[kind]
	rest, ok := strings.CutPrefix(s, v.web)
	if !ok && v.urn != "" {
		rest, ok = strings.CutPrefix(s, v.urn)
	}
	if !ok {
		rest, ok = strings.CutPrefix(s, v.curie)
	}
	if !ok {
		for _, from := range [...]string{"http://ref.gs1.org/cbv/", "https://ns.gs1.org/cbv/", "http://ns.gs1.org/cbv/", "http://gs1.org/voc/", "https://www.gs1.org/voc/"} {
			if after, found := strings.CutPrefix(s, from); found {
				if strings.Contains(from, "/cbv/") {
					rest, ok = strings.CutPrefix(cbvWeb+after, v.web)
				} else {
					rest, ok = strings.CutPrefix(vocWeb+after, v.web)
				}
				break
			}
		}
	}
	if ok && (IsWord(kind, rest) || kind == Measurement && isTerm(rest)) {
		return rest
	}
	switch {
	case strings.HasPrefix(s, "cbv:"):
		return cbvWeb + s[len("cbv:"):]
	case strings.HasPrefix(s, "gs1:"):
		return vocWeb + s[len("gs1:"):]
	case strings.HasPrefix(s, "epcis:"):
		return epcWeb + s[len("epcis:"):]
	case ok && v.urn != "" && strings.HasPrefix(s, v.urn):
		for w := range strings.FieldsSeq(v.old) {
			if w == rest {
				return v.web + rest
			}
		}
	}
	return s
}

// isTerm says whether s may be a term of the Web Vocabulary, which grows between releases of the standard: a measurement of a later one is taken.
func isTerm(s string) bool {
	for i := range len(s) {
		if c := s[i]; !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || i > 0 && (c >= '0' && c <= '9' || c == '_' || c == '-')) {
			return false
		}
	}
	return s != ""
}

// WordURI is the web URI of a word in any spelling.
func WordURI(kind WordKind, s string) string {
	s = Word(kind, s)
	if kind < wordKinds {
		if uri, ok := known[kind][s]; ok {
			return uri
		}
		if kind == Measurement && isTerm(s) {
			return vocWeb + s
		}
	}
	return s
}

// WordURN is the URN of a word in any spelling; the web URI where the kind of word has no URNs.
func WordURN(kind WordKind, s string) string {
	s = Word(kind, s)
	if !IsWord(kind, s) {
		return s
	}
	if v := &vocabularies[kind]; v.urn != "" {
		return v.urn + s
	}
	return known[kind][s]
}
