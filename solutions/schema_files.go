package solutions

import (
	"github.com/fujie-id/fujie/template"
)

// when says what an object of one kind has: the keys that it needs, and what holds of some of its keys.
func when(key, kind string, needs []string, properties m) m {
	then := m{}
	if len(needs) > 0 {
		then["required"] = needs
	}
	if len(properties) > 0 {
		then["properties"] = properties
	}
	return m{"if": m{"required": []string{key}, "properties": m{key: m{"const": kind}}}, "then": then}
}

// only says that keys belong to objects of these kinds.
func only(key string, keys []string, kinds ...string) m {
	without := m{}
	for _, k := range keys {
		without[k] = false
	}
	return m{"if": m{"required": []string{key}, "properties": m{key: m{"enum": kinds}}}, "else": m{"properties": without}}
}

// CodesSchema is the JSON Schema of a file in codes/. What it cannot say, Load says: that the codes grow too long, that something stands behind a serial without a width.
func CodesSchema() []byte {
	width := func(least, most int) m { return m{"width": m{"minimum": least, "maximum": most}} }
	base32 := m{"base": m{"const": 32}}
	part := object([]string{"kind"}, m{
		"kind": m{"enum": []string{"text", "date", "class", "serial", "random", "check"}, "description": "text: as it is (常量); date: of the issue (日期); class: given at the issue (分类); " +
			"serial: counts up (流水号); random: cannot be guessed, and is unique (随机); check: check characters over all before it (校验码)"},
		"text":   m{"type": "string", "minLength": 1, "maxLength": 64, "pattern": `^[^,"\\\x00-\x1f]+$`, "description": "text: the constant (常量)"},
		"layout": m{"enum": []string{"YYYYMMDD", "YYMMDD", "YYYYMM", "YYMM", "YYYY", "YYDDD"}, "description": "date: its form; YYYYMMDD if absent (日期格式)"},
		"width":  m{"type": "integer", "description": "class, serial, random: characters; a serial without one is as long as it needs to be (宽度)"},
		"base":   m{"enum": []int{10, 32}, "description": "serial, random: 10 (digits, the default of serial) or 32 (without I, L, O, U; the default of random) (进制)"},
		"scheme": m{"enum": []string{"mod11-2", "mod37-2", "mod97-10", "mod11-10", "mod37-36", "gs1", "luhn"}, "description": "check: ISO 7064, GS1 or Luhn (校验算法)"},
	})
	part["allOf"] = []m{
		when("kind", "text", []string{"text"}, nil),
		when("kind", "class", []string{"width"}, width(1, 18)),
		when("kind", "serial", nil, width(0, 18)),
		when("kind", "random", []string{"width"}, width(8, 18)),
		when("kind", "check", []string{"scheme"}, nil),
		{"if": m{"required": []string{"kind", "base"}, "properties": m{"kind": m{"const": "serial"}, "base": base32["base"]}}, "then": m{"properties": width(0, 12)}},
		{"if": m{"required": []string{"kind"}, "properties": m{"kind": m{"const": "random"}, "base": base32["base"]}}, "then": m{"properties": width(8, 12)}},
	}
	counts := m{"required": []string{"kind"}, "properties": m{"kind": m{"enum": []string{"serial", "random"}}}}
	return schema(object([]string{"name", "parts"}, m{
		"name":     m{"type": "string", "pattern": `^[0-9A-Za-z-]{1,40}$`, "description": "Letters, digits and dashes (名称)"},
		"title":    m{"type": "string", "maxLength": 100, "description": "For people (标题)"},
		"template": m{"type": "string", "description": "The template of what is coded so, as META_BOTTLE (模板)"},
		"parts": m{"type": "array", "minItems": 1, "maxItems": 20, "items": part, "contains": counts, "minContains": 1, "maxContains": 1,
			"description": "What a code is made of, in order; one of them is a serial or random (组成)"},
	}), "A code rule (编码规则)")
}

// TemplateSchema is the JSON Schema of a file in templates/. What it cannot say, Load says: that two properties have one name, that a unit is none of UCUM.
func TemplateSchema() []byte {
	names := func(doc string) m {
		return m{"type": "object", "description": doc, "maxProperties": 20, "propertyNames": m{"pattern": `^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$`},
			"additionalProperties": m{"type": "string", "minLength": 1, "maxLength": 100}}
	}
	length := m{"type": "integer", "minimum": 0, "maximum": template.MaxLongest}
	described := func(s m, doc string) m {
		out := m{"description": doc}
		for k, v := range s {
			out[k] = v
		}
		return out
	}
	visibility := m{"enum": []template.Visibility{template.Public, template.Granted, template.Private}, "description": "public 公开, granted 授权, private 私有"}
	decimal := m{"type": "string", "pattern": `^[+-]?[0-9]{1,60}(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,3})?$`}
	types := []template.Type{template.String, template.Number, template.Date, template.Boolean, template.Enumeration, template.File, template.Reference, template.Schema}
	item := object([]string{"name", "type"}, m{
		"index":       m{"anyOf": []m{{"const": 0}, {"type": "integer", "minimum": 2000, "maximum": uint32(1<<32 - 1)}}, "description": "Where its value stands in a record: 2000 and up; the next free one if absent (索引)"},
		"name":        m{"type": "string", "pattern": `^[A-Za-z][A-Za-z0-9_.-]{0,49}$`, "not": m{"pattern": `^[Hh][Ss]_`}, "description": "Its English name, lowerCamel (英文名)"},
		"names":       names("By language: {en: …, zh: …} (名称)"),
		"description": m{"type": "string", "maxLength": 1000},
		"type":        m{"enum": types, "description": "What its values are (类型)"},
		"required":    m{"type": "boolean", "description": "(必填)"},
		"unique":      m{"type": "boolean", "description": "No two records of this template have the same value (唯一)"},
		"disabled":    m{"type": "boolean", "description": "Takes no new values (禁用)"},
		"visibility":  visibility,
		"minLength":   described(length, "string: characters at least"),
		"maxLength":   described(length, "string: characters at most; 4000 if absent"),
		"pattern":     m{"type": "string", "maxLength": 500, "description": "string: a regular expression (RE2) for the whole of it (正则表达式)"},
		"precision":   m{"type": "integer", "minimum": 0, "maximum": template.MaxDigits, "description": "number: digits at most"},
		"scale":       m{"type": "integer", "minimum": 0, "maximum": template.MaxDigits, "description": "number: digits behind the point at most; 0 is whole numbers (精度)"},
		"minimum":     described(decimal, "number: in quotes, as \"-0.5\""),
		"maximum":     described(decimal, "number: in quotes"),
		"unit":        m{"type": "string", "description": "number: its unit in UCUM, as kg, m/s2, Cel (单位)"},
		"format":      m{"enum": []string{"date", "date-time", "year-month", "year", "time"}, "description": "date: its form; date if absent (日期格式)"},
		"values": m{"type": "array", "minItems": 1, "maxItems": 1000, "description": "enumeration: what there is to choose from (枚举值)",
			"items": object([]string{"code"}, m{"code": m{"type": "string", "minLength": 1, "maxLength": 100}, "names": names("By language (名称)")})},
		"many":   m{"type": "boolean", "description": "file, reference: several (一对多)"},
		"max":    m{"type": "integer", "minimum": 0, "maximum": template.MaxMany, "description": "file, reference: how many at most; 50 if absent"},
		"media":  m{"type": "array", "items": m{"type": "string", "pattern": `^[a-z0-9]{1,12}$`}, "description": "file: endings it may have, as pdf, png"},
		"target": m{"type": "string", "minLength": 1, "description": "reference: the template that what it names keeps to"},
		"schema": m{"type": []string{"object", "boolean"}, "description": "schema: JSON Schema 2020-12 of the value"},
	})
	item["allOf"] = []m{
		only("type", []string{"minLength", "maxLength", "pattern"}, "string"),
		only("type", []string{"precision", "scale", "minimum", "maximum", "unit"}, "number"),
		only("type", []string{"format"}, "date"),
		only("type", []string{"values"}, "enumeration"),
		only("type", []string{"many", "max"}, "file", "reference"),
		only("type", []string{"media"}, "file"),
		only("type", []string{"target"}, "reference"),
		only("type", []string{"schema"}, "schema"),
		when("type", "enumeration", []string{"values"}, nil),
		when("type", "schema", []string{"schema"}, nil),
		{"not": m{"required": []string{"unique", "many"}, "properties": m{"unique": m{"const": true}, "many": m{"const": true}}}},
		{"if": m{"required": []string{"max"}, "properties": m{"max": m{"minimum": 2}}}, "then": m{"required": []string{"many"}, "properties": m{"many": m{"const": true}}}},
	}
	title := names("By language: {en: …, zh: …} (名称)")
	title["minProperties"] = 1
	s := object([]string{"id", "names", "items"}, m{
		"id":          m{"type": "string", "pattern": `^META_[0-9A-Z-]+$`, "description": "META_ and the file's name in capitals (标识)"},
		"version":     m{"type": "integer", "minimum": 0, "description": "Given by publishing: leave it out (版本)"},
		"names":       title,
		"description": m{"type": "string", "maxLength": 1000},
		"standard":    m{"type": "string", "maxLength": 200, "description": "The standard it follows (参考标准)"},
		"industry":    m{"type": "string", "pattern": `^([A-T]|[A-T]?(0[1-9]|[1-8][0-9]|9[0-7])([0-9][0-9]?)?)$`, "description": "Class of GB/T 4754: C, 34, 344, 3441 or C3441 (国民经济行业分类)"},
		"visibility":  visibility,
		"base":        m{"type": "string", "description": "The version that it was derived from (派生自)"},
		"items":       m{"type": "array", "minItems": 1, "maxItems": template.MaxItems, "items": item, "description": "Its properties (属性)"},
	})
	return schema(s, "A template (标识模板)")
}
