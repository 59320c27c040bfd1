package solutions

import (
	"encoding/json"
	"slices"
	"strings"
)

// m is an object of JSON.
type m = map[string]any

// words is the schema of text for people: {en: …, zh: …}.
func words(doc string) m {
	word := m{"type": "string", "pattern": `\S`}
	return m{"type": "object", "description": doc, "additionalProperties": false, "required": []string{"en", "zh"}, "properties": m{"en": word, "zh": word}}
}

func object(required []string, properties m) m {
	return m{"type": "object", "additionalProperties": false, "required": required, "properties": properties}
}

func schema(s m, title string) []byte {
	s["$schema"], s["title"] = "https://json-schema.org/draft/2020-12/schema", title
	b, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // maps and texts only: it cannot fail
	}
	return append(b, '\n')
}

// PageSchema is the JSON Schema of a file in pages/.
func PageSchema() []byte {
	name := m{"type": "string", "minLength": 1}
	kinds := m{
		"indicator": m{"type": "string", "minLength": 1, "description": "A file of indicators/, without .sql (指标)"},
		"flow":      m{"type": "string", "minLength": 1, "description": "A flow to begin (扫码流程)"},
		"runs":      m{"type": "string", "minLength": 1, "description": "The runs of a flow (流程实例)"},
		"tasks":     m{"const": true, "description": "The reader's own tasks (任务)"},
		"trace":     m{"enum": []string{"up", "down", "both"}, "description": "Enter an identifier, see its picture (追溯)"},
		"text":      m{"type": "object", "description": "Words: {en: …, zh: …} (文字)", "minProperties": 1, "additionalProperties": m{"type": "string"}},
	}
	card := object([]string{}, m{
		"show": m{"enum": shows, "description": "How an indicator is shown (展示方式)"},
		"wide": m{"type": "boolean", "description": "Over the whole width (整行)"},
	})
	one := []m{}
	for kind, of := range kinds {
		card["properties"].(m)[kind] = of
		one = append(one, m{"required": []string{kind}})
	}
	delete(card, "required")
	slices.SortFunc(one, func(a, b m) int { return strings.Compare(a["required"].([]string)[0], b["required"].([]string)[0]) })
	card["oneOf"] = one // exactly one content
	return schema(object([]string{"name"}, m{
		"name":  words("Its title (标题)"),
		"roles": m{"type": []string{"array", "null"}, "items": name, "description": "Who sees it; everybody of the solution if absent (角色)"},
		"cards": m{"type": []string{"array", "null"}, "items": card, "description": "What is on it, in order (卡片)"},
	}), "A page of a solution (页面)")
}

// SheetSchema is the JSON Schema (2020-12) of solution.yaml, for editors: they complete its keys, and mark what Load would refuse. What a schema cannot say, Load says: that a file which
// a party takes is there, that a role's party exists.
func SheetSchema() []byte {
	name := m{"type": "string", "pattern": plainName.String(), "maxLength": maxName}
	files := func(doc string) m {
		return m{"type": []string{"array", "null"}, "items": m{"type": "string"}, "description": doc}
	}
	named := func(of m) m {
		return m{"type": []string{"object", "null"}, "propertyNames": name, "additionalProperties": of}
	}
	party := object([]string{"name"}, m{
		"name":       words("What the enterprise is (参与方)"),
		"templates":  files("Files of templates/ that it installs, without .yaml (模板)"),
		"codes":      files("Files of codes/ (编码规则)"),
		"tables":     files("Files of tables/ (决策表)"),
		"flows":      files("Files of flows/ (扫码流程)"),
		"indicators": files("Files of indicators/, without .sql (指标)"),
		"labels":     files("Files of labels/ (标签)"),
		"pages":      files("Files of pages/ (页面)"),
	})
	owned := func(doc string) m {
		return object([]string{"name"}, m{"name": words(doc), "party": m{"type": []string{"string", "null"}, "description": "Whose it is; every party's if absent (所属参与方)"}})
	}
	parties := named(party)
	parties["type"], parties["minProperties"], parties["description"] = "object", 1, "Kinds of enterprises that take part (参与方)"
	roles, systems := named(owned("What somebody is (角色)")), named(owned("What the program is (业务系统)"))
	roles["description"], systems["description"] = "What people and programs are in it; each is a group at the enterprise (角色)", "Business systems that take messages (业务系统)"
	shows := named(object([]string{"party", "template", "items", "to"}, m{
		"party":    m{"type": "string", "description": "Whose records (展示方)"},
		"template": m{"type": "string", "description": "Of which kind: a file of templates/ that the party installs (模板)"},
		"items":    m{"type": "array", "minItems": 1, "items": m{"type": "string"}, "description": "Properties whose visibility is granted (授权属性)"},
		"to":       m{"type": "array", "minItems": 1, "items": m{"type": "string"}, "description": "Other parties (对象)"},
		"purposes": m{"type": []string{"array", "null"}, "items": m{"type": "string", "minLength": 1, "maxLength": 100}, "description": "What the asker must say that it is for, one of these; anything if absent (用途)"},
	}))
	shows["description"] = "What a party shows others of its records beside what everybody sees (权限)"
	s := object([]string{"solution", "version", "name", "summary", "mode", "industry", "parties"}, m{
		"solution":    m{"type": "string", "pattern": plainName.String(), "maxLength": maxName, "description": "Its name: small letters, digits and dashes (名称)"},
		"version":     m{"type": "string", "pattern": version.String(), "description": "Three numbers, as 1.0.0 (版本)"},
		"case":        m{"type": []string{"string", "null"}, "description": "The published case that it follows (案例)"},
		"name":        words("Its title (标题)"),
		"summary":     words("What it is for, in a sentence or two (摘要)"),
		"mode":        m{"enum": modes, "description": "Which of the nine modes of use (九大应用模式)"},
		"industry":    m{"type": "string", "minLength": 1, "description": "The industry (行业)"},
		"parties":     parties,
		"roles":       roles,
		"systems":     systems,
		"permissions": shows,
		"uses":        m{"type": []string{"object", "null"}, "description": "Constants, seen by flows as uses.NAME (常量)"},
	})
	return schema(s, "solution.yaml: an industry case (解决方案)")
}
