package office

import (
	"net/mail"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/fujie-id/fujie/api"
	"github.com/fujie-id/fujie/problem"
)

// Organisation is what an organisation says of itself when it applies: the fields of the deployed application form
// (china.md §2.1) that a registration office needs. Texts are UTF-8.
type Organisation struct {
	Name     string  `json:"orgName" maxLength:"200" doc:"Its registered name (单位名称)"`
	Nature   int     `json:"orgNature,omitempty" doc:"1 state-held 国有控股, 2 private 民营控股, 3 foreign 外商控股, 4 public institution 事业单位, 5 private non-profit 民营非盈利"`
	Address  Address `json:"orgAddr,omitzero" doc:"Where it is registered (注册地址)"`
	CrtType  int     `json:"orgCrtType" doc:"What orgCrtCode is: 1 unified social credit code 统一社会信用代码, 2 another certificate 其他"`
	CrtCode  string  `json:"orgCrtCode" maxLength:"32" doc:"The number of its certificate (证件号码); of type 1 its check character must hold (GB 32100)"`
	CrtImage string  `json:"orgCrtImgRid,omitempty" maxLength:"255" doc:"Identifier or name of the scanned certificate (证件扫描件)"`
	Website  string  `json:"website,omitempty" maxLength:"255"`

	IndustryCategory string `json:"industryCategory,omitempty" maxLength:"8" doc:"GB/T 4754 section (行业门类), as C"`
	IndustrySpecific string `json:"industrySpecific,omitempty" maxLength:"8" doc:"GB/T 4754 division (行业大类), as 35"`

	Contact Person `json:"contact,omitzero" doc:"Who answers questions (联系人)"`
	Legal   Person `json:"legal,omitzero" doc:"The legal representative (法定代表人)"`

	Manage Manage `json:"entRegisterManageInfo,omitzero" doc:"Its identifier systems (标识系统信息)"`
}

// Address is a place by the codes of GB/T 2260.
type Address struct {
	Province string `json:"province,omitempty" maxLength:"8" doc:"Code of GB/T 2260, as 320000"`
	City     string `json:"city,omitempty" maxLength:"8"`
	County   string `json:"county,omitempty" maxLength:"8"`
	Street   string `json:"street,omitempty" maxLength:"255"`
}

// Person is somebody of the organisation. What is said here is shown to the office and the organisation only.
type Person struct {
	Name    string `json:"name,omitempty" maxLength:"100"`
	Phone   string `json:"phone,omitempty" maxLength:"32"`
	Email   string `json:"email,omitempty" maxLength:"255"`
	CrtType int    `json:"crtType,omitempty"`
	CrtCode string `json:"crtCode,omitempty" maxLength:"32"`
}

// Manage is which systems the organisation runs and who runs them.
type Manage struct {
	Systems     []System `json:"entInfoSyses,omitempty" maxItems:"50"`
	BuildType   int      `json:"servSysBuildType,omitempty" doc:"1 built by itself 自营, 2 entrusted 委托"`
	OperType    int      `json:"servSysOperType,omitempty" doc:"1 run by itself 自营, 2 entrusted 委托"`
	Domain      string   `json:"extDomain,omitempty" maxLength:"255"`
	DataHost    string   `json:"dataHostingOrg,omitempty" maxLength:"200" doc:"Who keeps its data (数据托管单位)"`
	ServiceHost string   `json:"servHostingOrg,omitempty" maxLength:"200" doc:"Who runs its service (服务托管单位)"`
	Licenses    []string `json:"entInfoLicenses,omitempty" maxItems:"50"`
}

// System is one of them.
type System struct {
	Type   int    `json:"sysType" doc:"1 registration 注册系统, 2 registered data 注册数据, 3 backup 数据备份, 4 resolution 解析服务器, 5 backup of the service 标识服务系统备份"`
	Deploy int    `json:"deployMode,omitempty" doc:"1 on its own premises 本地, 2 cloud 云"`
	Addr   string `json:"ipPort,omitempty" maxLength:"255" doc:"As [192.0.2.1]:2641"`
}

// Fault is one place of a form that is wrong.
type Fault struct {
	Field, Rule string
	EN, ZH      string
}

// Faults is a form with mistakes; it is of kind problem.BadValue and names each.
type Faults []Fault

// Error is the first fault; Unwrap gives its kind.
func (f Faults) Error() string { return f.Unwrap().Error() }

// Unwrap is the faults as one problem.
func (f Faults) Unwrap() error {
	var en, zh []string
	for _, x := range f {
		en, zh = append(en, x.Field+": "+x.EN), append(zh, x.Field+"："+x.ZH)
	}
	return problem.New(problem.BadValue, "the form has %d mistakes; correct them and send it again: %s", "表单有 %d 处错误；请改正后重新提交：%[3]s",
		len(f), strings.Join(en, "; "), strings.Join(zh, "；"))
}

// Details is api.Detailed's.
func (f Faults) Details(lang problem.Lang) []api.Detail {
	var out []api.Detail
	for _, x := range f {
		d := api.Detail{Location: "body." + x.Field, Property: x.Field, Rule: x.Rule, Message: x.EN}
		if lang == problem.Chinese {
			d.Message = x.ZH
		}
		out = append(out, d)
	}
	return out
}

func (f *Faults) add(field, rule, en, zh string) { *f = append(*f, Fault{field, rule, en, zh}) }

func (f *Faults) text(field, s string, limit int, need bool) {
	switch {
	case strings.TrimSpace(s) == "":
		if need {
			f.add(field, "required", "it is missing", "缺少此项")
		}
	case !utf8.ValidString(s) || strings.ContainsRune(s, utf8.RuneError):
		f.add(field, "encoding", "it is not UTF-8; convert GB18030 text before sending", "不是 UTF-8；请先把 GB18030 文本转换后再提交")
	case utf8.RuneCountInString(s) > limit:
		f.add(field, "length", "it is too long", "过长")
	case strings.ContainsFunc(s, hidden):
		f.add(field, "characters", "it has control or invisible characters; take them out", "含有控制字符或不可见字符；请去掉")
	}
}

// hidden reports characters that a reviewer would not see: they serve to pass for somebody else.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || unicode.Is(unicode.Co, r)
}

func (f *Faults) choice(field string, n, top int, need bool) {
	if n == 0 && !need {
		return
	}
	if n < 1 || n > top {
		f.add(field, "choice", "it is none of the choices of the form", "不是表单给出的选项")
	}
}

func (f *Faults) code(field, s string, ok func(byte) bool, limit int) {
	if s == "" {
		return
	}
	for i := 0; i < len(s); i++ {
		if !ok(s[i]) {
			f.add(field, "characters", "it is no code of its list", "不是该代码表中的代码")
			return
		}
	}
	if len(s) > limit {
		f.add(field, "length", "it is too long", "过长")
	}
}

func digit(c byte) bool { return '0' <= c && c <= '9' }
func alnum(c byte) bool {
	return digit(c) || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// check finds every mistake of the form.
func (o *Organisation) check(f *Faults) {
	f.text("organisation.orgName", o.Name, 200, true)
	f.choice("organisation.orgNature", o.Nature, 5, false)
	f.code("organisation.orgAddr.province", o.Address.Province, digit, 8)
	f.code("organisation.orgAddr.city", o.Address.City, digit, 8)
	f.code("organisation.orgAddr.county", o.Address.County, digit, 8)
	f.text("organisation.orgAddr.street", o.Address.Street, 255, false)
	f.choice("organisation.orgCrtType", o.CrtType, 2, true)
	f.text("organisation.orgCrtCode", o.CrtCode, 32, true)
	switch {
	case o.CrtCode == "":
	case o.CrtType == 1 && !CreditCode(o.CrtCode):
		f.add("organisation.orgCrtCode", "GB 32100", "it is no unified social credit code: 18 characters whose last one checks the others", "不是有效的统一社会信用代码：应为 18 位，末位为校验码")
	case o.CrtType == 2:
		f.code("organisation.orgCrtCode", o.CrtCode, func(c byte) bool { return alnum(c) || c == '-' || c == '.' || c == '_' }, 32)
	}
	f.text("organisation.orgCrtImgRid", o.CrtImage, 255, false)
	f.text("organisation.website", o.Website, 255, false)
	f.code("organisation.industryCategory", o.IndustryCategory, alnum, 8)
	f.code("organisation.industrySpecific", o.IndustrySpecific, alnum, 8)
	for _, p := range []struct {
		field string
		*Person
	}{{"organisation.contact", &o.Contact}, {"organisation.legal", &o.Legal}} {
		f.text(p.field+".name", p.Name, 100, false)
		f.text(p.field+".phone", p.Phone, 32, false)
		f.text(p.field+".crtCode", p.CrtCode, 32, false)
		if p.Email != "" {
			if a, err := mail.ParseAddress(p.Email); err != nil || a.Address != p.Email || len(p.Email) > 255 {
				f.add(p.field+".email", "address", "it is no mail address", "不是电子邮件地址")
			}
		}
	}
	if len(o.Manage.Systems) > 50 || len(o.Manage.Licenses) > 50 {
		f.add("organisation.entRegisterManageInfo", "length", "it lists more than 50", "列出的项目超过 50 个")
		return
	}
	f.choice("organisation.entRegisterManageInfo.servSysBuildType", o.Manage.BuildType, 2, false)
	f.choice("organisation.entRegisterManageInfo.servSysOperType", o.Manage.OperType, 2, false)
	f.text("organisation.entRegisterManageInfo.extDomain", o.Manage.Domain, 255, false)
	f.text("organisation.entRegisterManageInfo.dataHostingOrg", o.Manage.DataHost, 200, false)
	f.text("organisation.entRegisterManageInfo.servHostingOrg", o.Manage.ServiceHost, 200, false)
	for _, l := range o.Manage.Licenses {
		f.text("organisation.entRegisterManageInfo.entInfoLicenses", l, 255, false)
	}
	for _, s := range o.Manage.Systems {
		f.choice("organisation.entRegisterManageInfo.entInfoSyses.sysType", s.Type, 5, true)
		f.choice("organisation.entRegisterManageInfo.entInfoSyses.deployMode", s.Deploy, 2, false)
		if s.Addr != "" && !addrPort(s.Addr) {
			f.add("organisation.entRegisterManageInfo.entInfoSyses.ipPort", "address", "write it as [192.0.2.1]:2641", "应写成 [192.0.2.1]:2641")
		}
	}
}

// addrPort reports whether s is an address with a port; the deployed form puts IPv4 addresses in brackets too.
func addrPort(s string) bool {
	if host, port, ok := strings.Cut(s, "]:"); ok && strings.HasPrefix(host, "[") {
		if a, err := netip.ParseAddr(host[1:]); err == nil && a.Is4() {
			s = host[1:] + ":" + port
		}
	}
	_, err := netip.ParseAddrPort(s)
	return err == nil
}

const creditAlphabet = "0123456789ABCDEFGHJKLMNPQRTUWXY"

// CreditCode reports whether s is a unified social credit code (GB 32100): 18 characters of an alphabet without I, O,
// S, V and Z; the ninth to seventeenth are the organisation code (GB 11714), the last makes the sum with the
// weights 3^i a multiple of 31.
func CreditCode(s string) bool {
	if len(s) != 18 {
		return false
	}
	sum, weight := 0, 1
	for i := range 18 {
		c := s[i]
		if 'a' <= c && c <= 'z' {
			c -= 'a' - 'A'
		}
		n := strings.IndexByte(creditAlphabet, c)
		if n < 0 || (i >= 2 && i < 8 && n > 9) {
			return false
		}
		if i == 17 {
			return (31-sum%31)%31 == n
		}
		sum += n * weight
		weight = weight * 3 % 31
	}
	return false
}
