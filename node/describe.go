package node

import (
	"github.com/danielgtaylor/huma/v2"
)

// describe adds to the description of the interface what wire/web answers by itself, so that /openapi.json has it all.
func describe(o *huma.OpenAPI) {
	text := func(s string) *huma.Schema { return &huma.Schema{Type: huma.TypeString, Description: s} }
	query := func(name, en string) *huma.Param {
		return &huma.Param{Name: name, In: "query", Description: en, Schema: text("")}
	}
	path := &huma.Param{Name: "identifier", In: "path", Required: true, Description: "As 88.118.1001/ENG-42, percent-encoded where an address needs it (标识)", Schema: text("")}
	value := &huma.Schema{Type: huma.TypeObject, Description: "One value (标识数据)", Properties: map[string]*huma.Schema{
		"index": {Type: huma.TypeInteger, Description: "1 and up, unique in its record"},
		"type":  text("URL, HS_SITE, a property's English name, …"),
		"data": {Type: huma.TypeObject, Description: "Its data", Properties: map[string]*huma.Schema{
			"format": text("string, base64, hex, admin, site, key, vlist"), "value": {Description: "Text, or an object in the format's shape"},
		}},
		"ttl":         {Type: huma.TypeInteger, Description: "Seconds it may be kept"},
		"timestamp":   text("When it was last changed, RFC 3339"),
		"permissions": text("Four digits: admin read, admin write, public read, public write; absent for 1110"),
	}}
	answer := &huma.Schema{Type: huma.TypeObject, Description: "An answer as Handle.Net 9 gives it (解析结果)", Properties: map[string]*huma.Schema{
		"responseCode": {Type: huma.TypeInteger, Description: "1 found, 100 not registered, 200 no such values, 301 not kept here, 402 who asks must say who they are, …"},
		"handle":       text("The identifier as it was asked"),
		"message":      text("What went wrong and what to do"),
		"values":       {Type: huma.TypeArray, Items: value},
	}}
	if o.Components.Schemas != nil {
		o.Components.Schemas.Map()["HandleAnswer"] = answer
	}
	ref := &huma.Schema{Ref: "#/components/schemas/HandleAnswer"}
	json := func(s *huma.Schema) map[string]*huma.MediaType {
		return map[string]*huma.MediaType{"application/json": {Schema: s}}
	}
	lines := map[string]*huma.MediaType{"application/x-ndjson": {Schema: text("One JSON object a line")}}
	responses := func(content map[string]*huma.MediaType) map[string]*huma.Response {
		return map[string]*huma.Response{"200": {Description: "Done", Content: content}, "default": {Description: "Refused; responseCode and message say why", Content: json(ref)}}
	}
	add := func(path string, item *huma.PathItem) {
		if o.Paths == nil {
			o.Paths = map[string]*huma.PathItem{}
		}
		o.Paths[path] = item
	}
	resolve, register, keys := []string{"Resolution 解析"}, []string{"Registration 注册"}, []string{"Identity 身份"}

	add("/api/handles/{identifier}", &huma.PathItem{
		Get: &huma.Operation{OperationID: "resolve", Summary: "Resolve an identifier (解析)", Tags: resolve, Responses: responses(json(ref)),
			Description: "All values that the asker may see, or those of some indexes and types. The header Fujie-Trust says what is known of the answer's origin when Fujie-Want: trust asks for it; Fujie-Purpose says what the data is for.",
			Parameters: []*huma.Param{path, query("index", "Only this value; may be repeated"), query("type", "Only values of this type; may be repeated; URL. means URL.x too"),
				query("auth", "true: past every cache, from a primary"), query("cert", "true: with the record's signature"), query("publicOnly", "false: what is not public makes the node ask who you are")}},
		Put: &huma.Operation{OperationID: "put", Summary: "Register or change one record (注册、修改)", Tags: register, Responses: responses(json(ref)),
			Parameters:  []*huma.Param{path, query("overwrite", "false: never in the place of what is there"), query("index", "Change these values only; various: those that the body names"), query("mintNewSuffix", "true: the node makes up the suffix")},
			RequestBody: &huma.RequestBody{Required: true, Content: json(&huma.Schema{Type: huma.TypeObject, Properties: map[string]*huma.Schema{"values": {Type: huma.TypeArray, Items: value}}})}},
		Delete: &huma.Operation{OperationID: "delete", Summary: "Delete a record, or some of its values (删除)", Tags: register, Responses: responses(json(ref)),
			Parameters: []*huma.Param{path, query("index", "Only this value; may be repeated")}},
	})
	add("/api/handles", &huma.PathItem{Get: &huma.Operation{OperationID: "list", Summary: "List identifiers under a prefix (列出)", Tags: resolve, Responses: responses(json(&huma.Schema{Type: huma.TypeObject})),
		Parameters: []*huma.Param{query("prefix", "88.118.1001"), query("page", "Which page"), query("pageSize", "How many a page; 0 only counts"), query("after", "Behind this one")}}})
	add("/api/prefixes", &huma.PathItem{Get: &huma.Operation{OperationID: "prefixes", Summary: "The prefixes that this node answers for (前缀)", Tags: resolve, Responses: responses(json(&huma.Schema{Type: huma.TypeObject}))}})
	add("/api/register", &huma.PathItem{Post: &huma.Operation{OperationID: "register", Summary: "Many writes in one request (批量注册)", Tags: register, Responses: responses(lines),
		Description: `One line a write: {"id":"88.118.1001/ENG-42","values":[…],"op":"create","overwrite":true}. The answer has one line for each; what is answered with responseCode 1 is durable.`,
		RequestBody: &huma.RequestBody{Required: true, Content: lines}}})
	add("/api/feed", &huma.PathItem{Get: &huma.Operation{OperationID: "feed", Summary: "What changed, in order (变更流)", Tags: resolve, Responses: responses(lines),
		Parameters: []*huma.Param{query("after", "The number of the last change that you have"), query("limit", "How many at most"), query("values", "true: with what each record holds now")}}})
	add("/api/site", &huma.PathItem{Get: &huma.Operation{OperationID: "site", Summary: "Where this service is (站点)", Tags: resolve, Responses: responses(json(&huma.Schema{Type: huma.TypeObject}))}})
	add("/api/sessions", &huma.PathItem{Post: &huma.Operation{OperationID: "open-session", Summary: "Begin a session as Handle.Net's clients do (会话)", Tags: keys, Responses: responses(json(&huma.Schema{Type: huma.TypeObject}))}})
	add("/api/verifications/{identifier}", &huma.PathItem{Post: &huma.Operation{OperationID: "verify", Summary: "Check a proof by a secret key kept here (核验)", Tags: keys,
		Parameters: []*huma.Param{path}, Responses: responses(json(&huma.Schema{Type: huma.TypeObject}))}})
	add("/healthz", &huma.PathItem{Get: &huma.Operation{OperationID: "health", Summary: "Whether the node answers (健康)", Tags: resolve, Responses: responses(json(&huma.Schema{Type: huma.TypeObject}))}})
}
