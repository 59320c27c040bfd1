// Package epcis is what happened to things, in the words of EPCIS 2.0 and CBV 2.0 (ISO/IEC 19987 and 19988): an event says what, when, where, why and
// how, and any company's system can write it and read it.
//
// The package holds the event and the document, their JSON-LD form, the rules that a valid one keeps, the hash that names an event by its contents, and
// the normal form of the identifiers in it. The XML forms of 1.2 and 2.0 are in the folder below. Nothing here fetches anything: contexts are built in.
package epcis

import "time"

// EventType is the kind of an event (EPCIS 2.0, 7.4).
type EventType string

// The kinds of events.
const (
	ObjectEvent         EventType = "ObjectEvent"         // something happened to these things
	AggregationEvent    EventType = "AggregationEvent"    // children were put into, seen in or taken out of a parent, and can be taken out
	TransactionEvent    EventType = "TransactionEvent"    // things were bound to a business transaction, or released from it
	TransformationEvent EventType = "TransformationEvent" // inputs were used up, outputs came of them
	AssociationEvent    EventType = "AssociationEvent"    // children were fixed to a parent or a place: assembled, installed
)

// Action is how an event relates to the life of the relation it tells of (EPCIS 2.0, 7.3.2).
type Action string

// The actions. A TransformationEvent has none.
const (
	Add     Action = "ADD"
	Observe Action = "OBSERVE"
	Delete  Action = "DELETE"
)

// Event is one event. A field that the event does not have is the zero value; which fields a kind of event may and must have, Validate says.
//
// Words of the CBV (business steps, dispositions, types of transactions, sources and destinations, error reasons, sensor types) are the bare word of the
// JSON form, "receiving", whichever of its URIs the document used; a word of somebody else's vocabulary is its full URI. Identifiers are as they were
// written: Key gives the form in which two spellings are equal.
type Event struct {
	Type           EventType
	ID             string    // eventID; Hash gives one to an event that has none
	Time           time.Time // eventTime, with the offset it was written with
	TimeZoneOffset string    // eventTimeZoneOffset: "+08:00"
	RecordTime     time.Time // when the repository took it; zero before that
	Certification  []string  // certificationInfo
	Error          *ErrorDeclaration

	Action                Action
	Parent                string     // parentID of Aggregation, Transaction and Association events
	EPCs                  []string   // epcList of Object and Transaction events; childEPCs of Aggregation and Association events
	Quantities            []Quantity // quantityList; childQuantityList
	InputEPCs, OutputEPCs []string   // of a TransformationEvent
	InputQuantities       []Quantity // inputQuantityList
	OutputQuantities      []Quantity // outputQuantityList
	TransformationID      string

	BizStep                string
	Disposition            string
	PersistentDispositions *PersistentDisposition
	ReadPoint, BizLocation *Location
	Transactions           []Transaction // bizTransactionList
	Sources, Destinations  []Party
	Sensors                []SensorElement
	ILMD                   []Field // instance and lot master data
	Extensions             []Field // fields of other namespaces, at the level of the event
	// Namespaces that the event's own extensions use, prefix → URI. A document's apply to all its events and are copied here when it is read.
	Namespaces map[string]string
}

// Quantity is so much of a class of things (7.3.3.3): an LGTIN, a GTIN, a class identifier of any scheme.
type Quantity struct {
	Class    string  // epcClass
	Quantity Decimal // empty: an unspecified amount
	Unit     string  // uom, of UN/CEFACT Recommendation 20: "KGM"; empty: a count
}

// Decimal is a number as it was written, without loss: "26", "13.20", "1e3". The empty one is absent.
type Decimal string

// Location is a readPoint or a bizLocation.
type Location struct {
	ID         string
	Extensions []Field
}

// Transaction is a reference to a business document.
type Transaction struct{ Type, ID string }

// Party is a source or a destination: Type is owning_party, possessing_party, location or a URI.
type Party struct{ Type, ID string }

// PersistentDisposition are the dispositions that stay, or stay no more, until another event says otherwise.
type PersistentDisposition struct{ Set, Unset []string }

// ErrorDeclaration says that an event with this ID was wrong (7.4.1.3).
type ErrorDeclaration struct {
	Time        time.Time // declarationTime
	Reason      string    // did_not_occur, incorrect_data or a URI
	Corrections []string  // correctiveEventIDs
	Extensions  []Field
}

// SensorElement is what sensors said (7.3.7).
type SensorElement struct {
	Metadata   *SensorMetadata
	Reports    []SensorReport
	Extensions []Field
}

// SensorMetadata applies to all reports of its element.
type SensorMetadata struct {
	Time, Start, End     time.Time
	DeviceID             string
	DeviceMetadata       string
	RawData              string
	DataProcessingMethod string
	BizRules             string
	Extensions           []Field
}

// SensorReport is one measured, observed or computed property.
type SensorReport struct {
	Type                      string // measurement type of the WebVoc: Temperature; or a URI
	Exception                 string // ALARM_CONDITION, ERROR_CONDITION
	DeviceID                  string
	DeviceMetadata            string
	RawData                   string
	DataProcessingMethod      string
	BizRules                  string
	Time                      time.Time
	Microorganism             string
	ChemicalSubstance         string
	CoordinateReferenceSystem string
	Value                     Decimal
	Component                 string
	StringValue               string
	BooleanValue              *bool
	HexBinaryValue            string
	URIValue                  string
	MinValue, MaxValue        Decimal
	MeanValue, SDev           Decimal
	PercRank, PercValue       Decimal
	Unit                      string // uom
	Extensions                []Field
}

// Field is one field of a namespace other than EPCIS's.
type Field struct {
	Space  string // the namespace's URI, "https://ns.example.com/epcis/"; empty only for a name without one
	Name   string // the local name, "batch"
	Prefix string // as it was written, "ex"
	Value  Value
}

// ValueKind is the JSON kind of a Value.
type ValueKind uint8

// The kinds of values. What came from XML is Text, Object or, for an element that is repeated, List.
const (
	Null ValueKind = iota
	Text
	Number // Value.Text holds its digits
	Bool   // Value.Text is "true" or "false"
	Object
	List
)

// Value is what an extension field holds, of any depth.
type Value struct {
	Kind   ValueKind
	Text   string
	Fields []Field // of an Object, in the order they were written
	Items  []Value // of a List
	Attrs  []Field // XML attributes beside the text or the fields; in JSON, names that begin with @
}

// Document is an EPCISDocument, or an EPCISQueryDocument when Query is set.
type Document struct {
	SchemaVersion string // "2.0", "1.2"
	Created       time.Time
	ID            string // an @id of the document
	Sender        string
	Receiver      string
	Instance      string            // instanceIdentifier
	Namespaces    map[string]string // prefix → URI
	Vocabularies  []Vocabulary      // master data of the header
	Events        []Event
	Query         *QueryResult
	Extensions    []Field
	// Fields of other namespaces in the header, and beside the list of events.
	HeaderExtensions, BodyExtensions []Field
}

// QueryResult is what an answer says of itself.
type QueryResult struct {
	QueryName      string
	SubscriptionID string
}

// Vocabulary is the master data of one kind (EPCIS 2.0, 6.1.1).
type Vocabulary struct {
	Type     string // urn:epcglobal:epcis:vtype:BusinessLocation
	Elements []VocabularyElement
}

// VocabularyElement is one thing's master data.
type VocabularyElement struct {
	ID         string
	Attributes []VocabularyAttribute
	Children   []string
}

// VocabularyAttribute is one attribute.
type VocabularyAttribute struct {
	ID    string
	Value Value
}
