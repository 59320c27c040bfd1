package export

// The rows of the tables. The tag parquet gives a column's name and kind; doc what it means, for the comment on the column. A pointer or the word optional is NULL when there is nothing.
// Instants are microseconds since 1970-01-01, UTC; days are those since then.

// Event is a row of events.
type Event struct {
	EventKey         string `parquet:"event_key,zstd" doc:"name of the row, the same in every export: what the other tables refer to"`
	Sequence         *int64 `parquet:"sequence,optional,zstd" doc:"number of the event in the node's history, when the export was made beside it"`
	EventID          string `parquet:"event_id,optional,zstd" doc:"eventID as the event gives it; an error declaration has that of the event it declares wrong"`
	Hash             string `parquet:"hash,zstd" doc:"name of the event by its contents (CBV 2.0, 8.9)"`
	Type             string `parquet:"type,dict,zstd" doc:"ObjectEvent, AggregationEvent, TransactionEvent, TransformationEvent or AssociationEvent"`
	Action           string `parquet:"action,optional,dict,zstd" doc:"ADD, OBSERVE or DELETE"`
	EventTime        int64  `parquet:"event_time,timestamp(microsecond:utc),zstd" doc:"when it happened, UTC"`
	TimeZoneOffset   string `parquet:"tz_offset,optional,dict,zstd" doc:"offset of the clock there: +08:00"`
	LocalTime        string `parquet:"local_time,zstd" doc:"the instant as the clock there showed it, ISO 8601"`
	Day              int32  `parquet:"day,date,zstd" doc:"date on the clock there"`
	Hour             int32  `parquet:"hour,zstd" doc:"hour on the clock there, 0 to 23"`
	Weekday          int32  `parquet:"weekday,zstd" doc:"day of the week there, 1 Monday to 7 Sunday"`
	ISOWeek          string `parquet:"iso_week,dict,zstd" doc:"week there by ISO 8601: 2026-W45"`
	RecordTime       *int64 `parquet:"record_time,optional,timestamp(microsecond:utc),zstd" doc:"when the repository took it, UTC"`
	BizStep          string `parquet:"biz_step,optional,dict,zstd" doc:"step of the business: shipping, receiving, or a URI"`
	Disposition      string `parquet:"disposition,optional,dict,zstd" doc:"state of the things from then on: in_transit, or a URI"`
	ReadPoint        string `parquet:"read_point,optional,dict,zstd" doc:"where it was observed, canonical identifier"`
	BizLocation      string `parquet:"biz_location,optional,dict,zstd" doc:"where the things are from then on, canonical identifier"`
	TransformationID string `parquet:"transformation_id,optional,zstd" doc:"what binds several events of one transformation"`
	Things           int32  `parquet:"things,zstd" doc:"how many rows of event_things it has"`
	ErrorTime        *int64 `parquet:"error_time,optional,timestamp(microsecond:utc),zstd" doc:"not NULL: this is the declaration, made then, that the event of this event_id is wrong"`
	ErrorReason      string `parquet:"error_reason,optional,dict,zstd" doc:"did_not_occur, incorrect_data or a URI"`
	CapturedBy       string `parquet:"captured_by,optional,dict,zstd" doc:"identity that captured it, when the export was made beside the history"`
}

// Thing is a row of event_things.
type Thing struct {
	EventKey  string   `parquet:"event_key,zstd" doc:"row of events"`
	Position  int32    `parquet:"position,zstd" doc:"place in the event, from 1"`
	Role      string   `parquet:"role,dict,zstd" doc:"epc, parentID, childEPC, inputEPC, outputEPC, or epcClass, childEPCClass, inputEPCClass, outputEPCClass for so much of a class"`
	Thing     string   `parquet:"thing,zstd" doc:"canonical identifier: equal for every spelling of the same thing"`
	AsWritten string   `parquet:"as_written,zstd" doc:"identifier as the event has it"`
	Quantity  *float64 `parquet:"quantity,optional,zstd" doc:"how much of the class; NULL for single things and amounts not said"`
	Exact     string   `parquet:"quantity_exact,optional,zstd" doc:"the same without loss of decimal places" sql:"decimal"`
	Unit      string   `parquet:"unit,optional,dict,zstd" doc:"UN/CEFACT Recommendation 20: KGM; NULL: pieces"`
}

// Relation is a row of event_relations.
type Relation struct {
	EventKey  string `parquet:"event_key,zstd" doc:"row of events"`
	Position  int32  `parquet:"position,zstd" doc:"place in the event, from 1"`
	Kind      string `parquet:"kind,dict,zstd" doc:"transaction, source, destination, certification, correction (event that takes the place of one declared wrong), disposition (lasting)"`
	Type      string `parquet:"type,optional,dict,zstd" doc:"type of the transaction (po, desadv), source or destination (owning_party, possessing_party, location); set or unset for dispositions"`
	Other     string `parquet:"other,zstd" doc:"canonical identifier of the document, party, place, event; the disposition"`
	AsWritten string `parquet:"as_written,zstd" doc:"as the event has it"`
}

// Sensor is a row of event_sensors: a report, or the metadata of an element without reports.
type Sensor struct {
	EventKey          string   `parquet:"event_key,zstd" doc:"row of events"`
	Position          int32    `parquet:"position,zstd" doc:"place in the event, from 1"`
	Element           int32    `parquet:"element,zstd" doc:"sensor element it belongs to, from 1"`
	Type              string   `parquet:"type,optional,dict,zstd" doc:"what is measured: Temperature, or a URI"`
	Exception         string   `parquet:"exception,optional,dict,zstd" doc:"ALARM_CONDITION, ERROR_CONDITION"`
	Time              *int64   `parquet:"time,optional,timestamp(microsecond:utc),zstd" doc:"of the report, or else of its element, UTC"`
	StartTime         *int64   `parquet:"start_time,optional,timestamp(microsecond:utc),zstd" doc:"begin of the element's period, UTC"`
	EndTime           *int64   `parquet:"end_time,optional,timestamp(microsecond:utc),zstd" doc:"end of the element's period, UTC"`
	Device            string   `parquet:"device,optional,dict,zstd" doc:"canonical identifier of the report's device, or else the element's"`
	Value             *float64 `parquet:"value,optional,zstd" doc:"measured value in unit"`
	Exact             string   `parquet:"value_exact,optional,zstd" doc:"the same without loss of decimal places" sql:"decimal"`
	Unit              string   `parquet:"unit,optional,dict,zstd" doc:"UN/CEFACT Recommendation 20: CEL"`
	Component         string   `parquet:"component,optional,dict,zstd" doc:"axis or part of a value of several: x"`
	StringValue       string   `parquet:"string_value,optional,zstd" doc:"value that is text"`
	BooleanValue      *bool    `parquet:"boolean_value,optional,zstd" doc:"value that is true or false"`
	HexBinaryValue    string   `parquet:"hex_value,optional,zstd" doc:"value of bytes, in hexadecimal"`
	URIValue          string   `parquet:"uri_value,optional,zstd" doc:"value that is a URI"`
	MinValue          *float64 `parquet:"min_value,optional,zstd" doc:"least value of the period"`
	MaxValue          *float64 `parquet:"max_value,optional,zstd" doc:"greatest value of the period"`
	MeanValue         *float64 `parquet:"mean_value,optional,zstd" doc:"mean of the period"`
	StdDev            *float64 `parquet:"std_dev,optional,zstd" doc:"standard deviation in the period"`
	PercRank          *float64 `parquet:"perc_rank,optional,zstd" doc:"percentile, 0 to 100, of perc_value"`
	PercValue         *float64 `parquet:"perc_value,optional,zstd" doc:"value at that percentile"`
	Microorganism     string   `parquet:"microorganism,optional,dict,zstd" doc:"organism that was looked for, a URI"`
	ChemicalSubstance string   `parquet:"chemical_substance,optional,dict,zstd" doc:"substance that was looked for, a URI"`
	Coordinates       string   `parquet:"coordinate_reference_system,optional,dict,zstd" doc:"of values that are coordinates, a URI"`
	DeviceMetadata    string   `parquet:"device_metadata,optional,dict,zstd" doc:"where the device is described, a URI"`
	RawData           string   `parquet:"raw_data,optional,zstd" doc:"where the raw data are, a URI"`
	Processing        string   `parquet:"data_processing_method,optional,dict,zstd" doc:"how the value was computed, a URI"`
	BizRules          string   `parquet:"biz_rules,optional,dict,zstd" doc:"rules that were applied, a URI"`
}

// Extension is a row of event_extensions: one value, however deep it lies in its field.
type Extension struct {
	EventKey  string   `parquet:"event_key,zstd" doc:"row of events"`
	Position  int32    `parquet:"position,zstd" doc:"place in the event, from 1"`
	Place     string   `parquet:"place,dict,zstd" doc:"where the field stands: event, ilmd, readPoint, bizLocation, errorDeclaration, sensor[1], sensor[1].metadata, sensor[1].report[2]"`
	Namespace string   `parquet:"namespace,optional,dict,zstd" doc:"namespace of the field, a URI"`
	Field     string   `parquet:"field,dict,zstd" doc:"local name of the field: batch"`
	Path      string   `parquet:"path,dict,zstd" doc:"way to the value: batch, or address/city, part[2]/weight; @ before the name of an attribute"`
	Kind      string   `parquet:"kind,dict,zstd" doc:"text, number, bool, null, object (an empty one), list (an empty one)"`
	Value     string   `parquet:"value,optional,zstd" doc:"the value as text"`
	Number    *float64 `parquet:"number,optional,zstd" doc:"the value, when it is or reads as a number"`
}

// rows is what becomes of one event.
type rows struct {
	event      Event
	things     []Thing
	relations  []Relation
	sensors    []Sensor
	extensions []Extension
	size       int // bytes of text, about
}

// count is how many rows there are.
func (r *rows) count() int {
	return 1 + len(r.things) + len(r.relations) + len(r.sensors) + len(r.extensions)
}

// reset empties r and keeps its room.
func (r *rows) reset() {
	*r = rows{things: r.things[:0], relations: r.relations[:0], sensors: r.sensors[:0], extensions: r.extensions[:0]}
}
