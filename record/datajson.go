package record

// AppendDataJSON appends the data of a value alone, {"format":…,"value":…}, as AppendValueJSON has it.
func AppendDataJSON(dst []byte, v *Value) []byte { return appendData(dst, v.Type, v.Data) }
