package policy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cedar-policy/cedar-go"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Visibility says who may read.
type Visibility string

// The three of the national documents (china.md §3.2).
const (
	Public  Visibility = "public"  // 公开: anybody
	Granted Visibility = "granted" // 授权: whom a grant names
	Private Visibility = "private" // 私有: the prefix's administrators alone
)

// strictness orders visibilities.
func (v Visibility) strictness() int {
	return slices.Index([]Visibility{"", Public, Granted, Private}, v)
}

// Action is what a grant is for.
type Action string

// Reading and editing are granted apart; editing is never for everybody.
const (
	Read Action = "read"
	Edit Action = "edit"
)

// Rule is what an owner says of a class of records, of some properties, or of one identifier.
type Rule struct {
	// Template is the class: a template's identifier. Empty in a Policy_ paper: every record of the prefix. It is empty
	// in the rule of one identifier, which stands in that record.
	Template   string     `json:"template,omitempty" maxLength:"512" doc:"The class: a template's identifier; empty: every record of the prefix"`
	Items      []string   `json:"items,omitempty" maxItems:"500" doc:"Properties, each by its English name or its index; empty: all of the record"`
	Visibility Visibility `json:"visibility,omitempty" enum:"public,granted,private" doc:"Who may read (公开、授权、私有); absent: what a wider rule says"`
	Hidden     bool       `json:"hidden,omitempty" doc:"Strangers do not learn that the record is there; without items only"`
	Grants     []Grant    `json:"grants,omitempty" maxItems:"1000"`
	Note       string     `json:"note,omitempty" maxLength:"1000" doc:"For people"`
}

// Grant says that somebody may, or may not.
type Grant struct {
	ID       string     `json:"id,omitempty" doc:"Made up by the node"`
	To       []string   `json:"to" minItems:"1" maxItems:"500" doc:"Identifiers of users, applications and groups; a prefix: everybody under it; *: everybody who proved who they are"`
	Actions  []Action   `json:"actions" minItems:"1" enum:"read,edit"`
	Refuse   bool       `json:"refuse,omitempty" doc:"They may not, though a rule as narrow or a wider one lets them"`
	When     string     `json:"when,omitempty" maxLength:"8192" doc:"A condition in the Cedar policy language, as: context.purpose == \"warranty\" && context.hour >= 8"`
	Purposes []string   `json:"purposes,omitempty" maxItems:"100" doc:"What the asker must say that the data is for, one of these"`
	From     *time.Time `json:"from,omitempty" doc:"Not before"`
	Until    *time.Time `json:"until,omitempty" doc:"Not at or after"`
	Count    int64      `json:"count,omitempty" minimum:"0" doc:"How many answers each asker gets; 0: any number"`
	Paid     bool       `json:"paid,omitempty" doc:"Only those for whom a receipt that holds is in receipts"`
	Receipts []Receipt  `json:"receipts,omitempty" maxItems:"1000"`
	Request  string     `json:"request,omitempty" doc:"The request for access that it answers"`
	By       string     `json:"by,omitempty" doc:"Who granted it"`
	At       *time.Time `json:"at,omitempty" doc:"When"`
}

// Receipt says that somebody paid.
type Receipt struct {
	Who       string     `json:"who" maxLength:"512" doc:"As in to"`
	Until     *time.Time `json:"until,omitempty" doc:"How long it holds; absent: as long as the grant"`
	Reference string     `json:"reference,omitempty" maxLength:"200" doc:"The invoice or order"`
}

// compiled is a rule ready to be asked.
type compiled struct {
	Rule
	source string // where it stands, for the trail: 88.118.1001/POLICY_X
	items  map[string]bool
	grants []condition
}

type condition struct {
	*Grant
	when *cedar.PolicySet // nil: no text
}

const (
	maxRuleItems  = 500
	maxGrants     = 1000
	maxTo         = 500
	maxWhen       = 8192
	maxNesting    = 100
	maxReceipts   = 1000
	maxPurposes   = 100
	maxPurposeLen = 100
)

func badRule(en, zh string, args ...any) error {
	return problem.New(problem.BadValue, en, zh, args...)
}

// compile checks the rule. own says that it is the rule of one identifier. The error is of kind problem.BadValue and
// names the place.
func (r Rule) compile(source string, own bool) (*compiled, error) {
	c := &compiled{Rule: r, source: source}
	switch {
	case r.Visibility.strictness() < 0:
		return nil, badRule("visibility %q is none of public, granted, private", "可见性 %q 应为 public（公开）、granted（授权）或 private（私有）", clip(string(r.Visibility)))
	case own && r.Template != "":
		return nil, badRule("the rule of one identifier names no template: leave it out, or write a policy", "单个标识的规则不应指明模板：请去掉，或改写为类级策略")
	case len(r.Items) > maxRuleItems, len(r.Grants) > maxGrants:
		return nil, badRule("a rule takes at most %d items and %d grants: split it", "一条规则最多 %d 个属性、%d 个授权：请拆分", maxRuleItems, maxGrants)
	case r.Hidden && (len(r.Items) > 0 || r.Visibility == Public || r.Visibility == ""):
		return nil, badRule("hidden goes with visibility granted or private, and without items", "hidden 须与 granted 或 private 同用，且不指明属性")
	case r.Visibility == Private && len(r.Grants) > 0:
		return nil, badRule("private means granted to nobody: take the grants out, or say granted", "private（私有）表示不授予任何人：请去掉授权，或改为 granted")
	}
	if r.Template != "" {
		v, err := id.ParseHandle(r.Template)
		if err != nil || v.IsPrefix() {
			return nil, badRule("template %q is no identifier of a template, as 88.118.1001/META_ENGINE", "template %q 不是模板标识，例如 88.118.1001/META_ENGINE", clip(r.Template))
		}
		c.Template = v.String()
	}
	if len(r.Items) > 0 {
		c.items = make(map[string]bool, len(r.Items))
		for _, name := range r.Items {
			if name == "" || len(name) > record.MaxType || !utf8.ValidString(name) || hasPrefixFold(name, "HS_") || hasPrefixFold(name, "FUJIE.") {
				return nil, badRule("%q is no property: give its English name or its index; HS_ and FUJIE. values are under no rule", "%q 不是属性：请给出英文名或索引；HS_ 与 FUJIE. 类型的值不受规则约束", clip(name))
			}
			c.items[handle.Fold(name)] = true
		}
	}
	ids := map[string]bool{}
	for i := range r.Grants {
		g, err := r.Grants[i].compile()
		if err != nil {
			return nil, problem.Wrap(err, problem.BadValue, "grant %d of %s cannot be used", "%[2]s 的第 %[1]d 项授权不可用", i+1, clip(source))
		}
		if g.ID != "" && ids[g.ID] {
			return nil, badRule("two grants are called %s: leave id out, it is made up", "有两项授权同名 %s：请去掉 id，由节点生成", clip(g.ID))
		}
		ids[g.ID] = true
		c.grants = append(c.grants, g)
	}
	return c, nil
}

func (g *Grant) compile() (condition, error) {
	c := condition{Grant: g}
	switch {
	case len(g.To) == 0 || len(g.To) > maxTo:
		return c, badRule("it names %d askers; 1 to %d are taken, more as a group", "指明了 %d 个对象；应为 1 至 %d 个，更多请用组", len(g.To), maxTo)
	case len(g.Actions) == 0 || slices.ContainsFunc(g.Actions, func(a Action) bool { return a != Read && a != Edit }):
		return c, badRule("its actions are read, edit or both", "actions 应为 read、edit 或两者")
	case g.Count < 0 || len(g.ID) > 64 || len(g.Receipts) > maxReceipts:
		return c, badRule("its count is negative, its id too long, or it has over %d receipts", "count 为负、id 过长或收据超过 %d 个", maxReceipts)
	case g.Count > 0 && g.ID == "":
		return c, badRule("it is counted, so it needs an id: give one, or make the grant by POST /api/grants", "计次授权须有 id：请给出，或通过 POST /api/grants 创建")
	case g.From != nil && g.Until != nil && !g.Until.After(*g.From):
		return c, badRule("it ends before it begins: put until behind from", "结束早于开始：until 应晚于 from")
	case len(g.Purposes) > maxPurposes || slices.ContainsFunc(g.Purposes, func(p string) bool { return p == "" || len(p) > maxPurposeLen }):
		return c, badRule("it takes at most %d purposes of 1 to %d bytes", "最多 %d 个用途，每个 1 至 %d 字节", maxPurposes, maxPurposeLen)
	}
	for _, who := range g.To {
		if err := checkWho(who); err != nil {
			return c, err
		}
		if who == "*" && slices.Contains(g.Actions, Edit) && !g.Refuse {
			return c, badRule("editing is never for everybody: name who may edit", "编辑权限不可公开：请指明可编辑者")
		}
	}
	for i := range g.Receipts {
		if err := checkWho(g.Receipts[i].Who); err != nil {
			return c, err
		}
	}
	if g.When != "" {
		set, err := compileWhen(g.When)
		if err != nil {
			return c, err
		}
		c.when = set
	}
	return c, nil
}

func checkWho(who string) error {
	if who == "*" {
		return nil
	}
	v, err := id.ParseHandle(who)
	if err != nil || hasPrefixFold(who, "0.NA") {
		return badRule("%q is neither an identifier, as 88.118.1002/App_erp, nor a prefix, as 88.118.1002, nor *", "%q 不是标识（如 88.118.1002/App_erp）、前缀（如 88.118.1002）或 *", clip(who))
	}
	_ = v
	return nil
}

// compileWhen reads a Cedar condition, and tries it once, so that a name that does not exist is found now.
func compileWhen(text string) (*cedar.PolicySet, error) {
	bad := func(cause string) error {
		return badRule("its condition cannot be used (%s): write one Cedar expression that is true or false, over principal, resource and context", "条件不可用（%s）：请写一个结果为真或假的 Cedar 表达式，可用 principal、resource、context", clip(cause))
	}
	if len(text) > maxWhen {
		return nil, bad("too long")
	}
	depth, most := 0, 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '(', '[', '{', '!', '-':
			depth++
		case ')', ']', '}':
			depth--
		case ' ':
			continue
		}
		most = max(most, depth)
	}
	if most > maxNesting {
		return nil, bad("nested too deeply")
	}
	list, err := cedar.NewPolicyListFromBytes("when", []byte("permit (principal, action, resource) when { "+text+"\n};"))
	if err != nil {
		return nil, bad(err.Error())
	}
	if len(list) != 1 {
		return nil, bad("more than one policy")
	}
	set := cedar.NewPolicySet()
	set.Add("when", list[0])
	trial := question{
		action: Read, who: asker{name: "88.118.1002/APP_ERP", prefix: "88.118.1002", index: 300}, purpose: "warranty", now: time.Unix(1800000000, 0),
		rec: "88.118.1001/ENG-42", prefix: "88.118.1001", template: "88.118.1001/META_ENGINE", zone: beijing,
	}
	if _, err := trial.holds(set, &record.Value{Index: 2001, Type: "price"}, 0, false); err != nil {
		return nil, bad(err.Error())
	}
	return set, nil
}

// names reports whether the rule is about the value.
func (c *compiled) names(v *record.Value) bool {
	if c.items == nil {
		return c.Hidden || v.Index != record.IndexTemplateID && v.Index != record.IndexTemplate
	}
	var buf [64]byte
	if c.items[string(strconv.AppendUint(buf[:0], uint64(v.Index), 10))] {
		return true
	}
	return c.items[handle.Fold(v.Type)]
}

// Cedar is the rule as policies in the Cedar language, for people to read: what is asked of a value is
// permit or forbid of the action on it. The node asks the same conditions in the order of its levels, narrower first.
func (r Rule) Cedar(source string) string {
	var b strings.Builder
	on := "resource"
	if r.Template != "" {
		on = fmt.Sprintf("resource in Template::%q", r.Template)
	} else if source != "" {
		on = fmt.Sprintf("resource in Rule::%q", source)
	}
	var about []string
	for _, it := range r.Items {
		if _, err := strconv.ParseUint(it, 10, 31); err == nil {
			about = append(about, "resource.index == "+it)
		} else {
			about = append(about, fmt.Sprintf("resource.item == %q", handle.Fold(it)))
		}
	}
	items := strings.Join(about, " || ")
	tail := func(extra ...string) {
		if items != "" {
			extra = append([]string{"(" + items + ")"}, extra...)
		}
		if len(extra) > 0 {
			b.WriteString("\nwhen { " + strings.Join(extra, " && ") + " }")
		}
		b.WriteString(";\n")
	}
	switch r.Visibility {
	case Public:
		fmt.Fprintf(&b, "// public 公开\npermit (principal, action == Action::\"read\", %s)", on)
		tail()
	case Private:
		fmt.Fprintf(&b, "// private 私有\nforbid (principal, action, %s)", on)
		tail()
	case Granted:
		b.WriteString("// granted 授权: nobody, but for:\n")
	}
	for i := range r.Grants {
		g := &r.Grants[i]
		effect := "permit"
		if g.Refuse {
			effect = "forbid"
		}
		var acts, who []string
		for _, a := range g.Actions {
			acts = append(acts, fmt.Sprintf("Action::%q", string(a)))
		}
		for _, t := range g.To {
			switch {
			case t == "*":
				who = append(who, "true")
			case !strings.Contains(t, "/"):
				who = append(who, fmt.Sprintf("principal in Prefix::%q", t))
			default:
				who = append(who, fmt.Sprintf("principal in Identity::%q", handle.Fold(t)))
			}
		}
		extra := []string{"(" + strings.Join(who, " || ") + ")"}
		if len(g.Purposes) > 0 {
			var ps []string
			for _, p := range g.Purposes {
				ps = append(ps, strconv.Quote(p))
			}
			extra = append(extra, "["+strings.Join(ps, ", ")+"].contains(context.purpose)")
		}
		if g.From != nil {
			extra = append(extra, fmt.Sprintf("context.now >= datetime(%q)", g.From.UTC().Format("2006-01-02T15:04:05Z")))
		}
		if g.Until != nil {
			extra = append(extra, fmt.Sprintf("context.now < datetime(%q)", g.Until.UTC().Format("2006-01-02T15:04:05Z")))
		}
		if g.Count > 0 {
			extra = append(extra, fmt.Sprintf("context.used < %d", g.Count))
		}
		if g.Paid {
			extra = append(extra, "context.paid")
		}
		if g.When != "" {
			extra = append(extra, "("+g.When+")")
		}
		if g.ID != "" {
			fmt.Fprintf(&b, "@id(%q)\n", g.ID)
		}
		fmt.Fprintf(&b, "%s (principal, action in [%s], %s)", effect, strings.Join(acts, ", "), on)
		tail(extra...)
	}
	return b.String()
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && handle.Equal(s[:len(prefix)], prefix)
}

func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "…"
	}
	return s
}
