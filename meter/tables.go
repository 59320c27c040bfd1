package meter

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"

	"github.com/fujie-id/fujie/id/handle"
	"github.com/fujie-id/fujie/problem"
)

// Frequency is how often a table is reported.
type Frequency string

const (
	RealTime Frequency = "real-time" // 实时
	Hourly   Frequency = "hourly"    // 每小时
	Daily    Frequency = "daily"     // 每日, of the day in Beijing that is over
	Monthly  Frequency = "monthly"   // 每月
)

// Table is one of the tables that a node reports to the node above it. T1 to T11 are those of annex 1 of the national
// nodes' docking guide (国家顶级节点对接服务指南), M1 and M2 those of annex 2, SLA is annex 3.
type Table struct {
	ID        string    `json:"id"`
	Name      string    `json:"name"`
	NameZH    string    `json:"nameZh"`
	Frequency Frequency `json:"frequency"`
	Fields    []Field   `json:"fields"`

	row reflect.Type
}

// Field is a column. Name is what deployed forms call it, where that is public.
type Field struct {
	Name     string `json:"name"`
	ZH       string `json:"nameZh"`
	Required bool   `json:"required,omitempty"`
}

// Row is one row of a table.
type Row interface {
	key() string   // what tells it from the other rows of its table
	about() string // the prefix that it is about
}

// Entity is T1 单位主体信息 of a second-level operator and T6 of an enterprise.
type Entity struct {
	Prefix           string       `json:"entPrefix" zh:"标识前缀" need:"y"`
	Name             string       `json:"orgName" zh:"单位名称" need:"y"`
	Nature           int          `json:"orgNature,omitempty" zh:"单位性质"`
	Province         string       `json:"orgAddrProvince,omitempty" zh:"注册地址省"`
	City             string       `json:"orgAddrCity,omitempty" zh:"注册地址市"`
	County           string       `json:"orgAddrCounty,omitempty" zh:"注册地址区县"`
	Street           string       `json:"orgAddrDetail,omitempty" zh:"详细地址"`
	CrtType          int          `json:"orgCrtType,omitempty" zh:"证件类型"`
	CrtCode          string       `json:"orgCrtCode,omitempty" zh:"证件号码"`
	CrtImage         string       `json:"orgCrtImgRid,omitempty" zh:"证件扫描件"`
	Website          string       `json:"website,omitempty" zh:"单位网站"`
	IndustryCategory string       `json:"industryCategory,omitempty" zh:"行业门类"`
	IndustrySpecific string       `json:"industrySpecific,omitempty" zh:"行业大类"`
	ContactName      string       `json:"contactName,omitempty" zh:"联系人姓名"`
	ContactPhone     string       `json:"contactPhone,omitempty" zh:"联系人电话"`
	ContactEmail     string       `json:"contactEmail,omitempty" zh:"联系人邮箱"`
	ContactCrtType   int          `json:"contactCrtType,omitempty" zh:"联系人证件类型"`
	ContactCrtCode   string       `json:"contactCrtCode,omitempty" zh:"联系人证件号码"`
	LegalName        string       `json:"legalName,omitempty" zh:"法定代表人姓名"`
	LegalPhone       string       `json:"legalPhone,omitempty" zh:"法定代表人电话"`
	LegalEmail       string       `json:"legalEmail,omitempty" zh:"法定代表人邮箱"`
	LegalCrtType     int          `json:"legalCrtType,omitempty" zh:"法定代表人证件类型"`
	LegalCrtCode     string       `json:"legalCrtCode,omitempty" zh:"法定代表人证件号码"`
	Systems          []InfoSystem `json:"entInfoSyses,omitempty" zh:"标识系统"`
	BuildType        int          `json:"servSysBuildType,omitempty" zh:"系统建设方式"`
	OperType         int          `json:"servSysOperType,omitempty" zh:"系统运营方式"`
	Domain           string       `json:"extDomain,omitempty" zh:"对外服务域名"`
	ExtIP            string       `json:"extIpAddr,omitempty" zh:"对外服务IP"`
	DataHost         string       `json:"dataHostingOrg,omitempty" zh:"数据托管单位"`
	ServiceHost      string       `json:"servHostingOrg,omitempty" zh:"服务托管单位"`
	Industries       []string     `json:"entInfoSerIndustries,omitempty" zh:"服务行业"`
	Licenses         []string     `json:"entInfoLicenses,omitempty" zh:"许可证"`
	Status           string       `json:"status,omitempty" zh:"状态"`
	CreateDate       string       `json:"createDate,omitempty" zh:"创建时间"`
	UpdateDate       string       `json:"updateDate,omitempty" zh:"更新时间"`
}

// InfoSystem is one of the systems of an Entity.
type InfoSystem struct {
	Type   int    `json:"sysType" zh:"系统类型"`
	Deploy int    `json:"deployMode,omitempty" zh:"部署方式"`
	Addr   string `json:"ipPort,omitempty" zh:"地址端口"`
}

// Route is T2 解析路由 of a second-level node and T7 of an enterprise: where a prefix is resolved.
type Route struct {
	CodeType string `json:"codeType" zh:"标识编码类型" need:"y"` // Handle, OID, DID:BID, VAA, Ecode, GS1
	Prefix   string `json:"prefix" zh:"标识前缀或范围" need:"y"`
	SiteType string `json:"hdlType,omitempty" zh:"解析记录类型"`
	IPType   int    `json:"ipType" zh:"IP类型" need:"y"` // 4, 6
	IP       string `json:"ip" zh:"IP地址" need:"y"`
	TCPPort  int    `json:"tcpPort,omitempty" zh:"TCP端口"`
	UDPPort  int    `json:"udpPort,omitempty" zh:"UDP端口"`
	HTTPPort int    `json:"httpPort,omitempty" zh:"HTTP端口"`
}

// Stats is T3 统计 of a second-level node, whose registrations are enterprise prefixes, and T8 of an enterprise, whose
// registrations are identifiers. A day is one in Beijing.
type Stats struct {
	Day           string        `json:"day" zh:"统计日期" need:"y"`
	Prefix        string        `json:"prefix" zh:"标识前缀" need:"y"`
	Registrations int64         `json:"dailyRegister" zh:"当日注册量"`
	Total         int64         `json:"totalRegister" zh:"累计注册量"`
	Requests      uint64        `json:"dailyResolve" zh:"当日解析请求量"`
	Successes     uint64        `json:"dailyResolveSuccess" zh:"当日解析成功量"`
	Sources       []SourceCount `json:"sourceIps,omitempty" zh:"来源IP列表"`
	OtherSources  uint64        `json:"otherSources,omitempty" zh:"其余来源请求量"`
}

// SourceCount is how often one address asked.
type SourceCount struct {
	IP    string `json:"ip" zh:"来源IP"`
	Count uint64 `json:"count" zh:"次数"`
}

// Metadata is T4 元数据 of a second-level node and T11 of an enterprise.
type Metadata struct {
	Prefix   string         `json:"prefix" zh:"标识前缀" need:"y"`
	Code     string         `json:"metaCode" zh:"元数据编码" need:"y"`
	Version  string         `json:"version" zh:"版本" need:"y"`
	Category string         `json:"industryCategory,omitempty" zh:"行业门类"`
	Specific string         `json:"industrySpecific,omitempty" zh:"行业大类"`
	Trade    string         `json:"industryTrade,omitempty" zh:"行业中类"`
	Subclass string         `json:"industrySubclass,omitempty" zh:"行业小类"`
	Type     int            `json:"type" zh:"对象类型"` // 1 主动标识载体, 2 其他
	Items    []MetadataItem `json:"items" zh:"属性列表"`
}

// MetadataItem is one property.
type MetadataItem struct {
	English string `json:"idType" zh:"英文名称"`
	Chinese string `json:"name,omitempty" zh:"中文别名"`
	Type    string `json:"type" zh:"数据类型"`
	Length  int    `json:"maxLength,omitempty" zh:"长度"`
}

// App is T5 应用 of a second-level node and T10 of an enterprise.
type App struct {
	Prefix    string `json:"prefix" zh:"标识前缀" need:"y"`
	Name      string `json:"appName" zh:"应用名称" need:"y"`
	Type      int    `json:"appType" zh:"应用类型"` // 1 APP, 2 小程序, 3 网页, 4 PC, 5 其他
	Intro     string `json:"intro,omitempty" zh:"应用简介"`
	Users     int64  `json:"users,omitempty" zh:"用户数"`
	Recursive string `json:"recursiveAddr,omitempty" zh:"使用的递归节点地址"`
	Developer string `json:"developer,omitempty" zh:"开发单位"`
}

// MainData is T9 企业主数据: one identifier that was registered, changed or deleted.
type MainData struct {
	Handle       string `json:"handle" zh:"标识" need:"y"`
	CreateDate   string `json:"createDate,omitempty" zh:"创建日期"`
	MetaCode     string `json:"metaCode,omitempty" zh:"引用元数据编码"`
	Op           int    `json:"op" zh:"操作类型" need:"y"` // 1 新增, 2 删除, 3 修改
	ProductType  string `json:"productType,omitempty" zh:"产品类型"`
	Brand        string `json:"brand,omitempty" zh:"品牌"`
	ProductName  string `json:"productName,omitempty" zh:"产品名称"`
	Maker        string `json:"manufacturer,omitempty" zh:"生产厂商"`
	ProducedAt   string `json:"productionTime,omitempty" zh:"生产时间"`
	Expiry       string `json:"expiryTime,omitempty" zh:"有效期"`
	TerminalType string `json:"terminalType,omitempty" zh:"终端类型"`
	Owner        string `json:"terminalOwner,omitempty" zh:"终端所有者"`
	Purpose      string `json:"terminalPurpose,omitempty" zh:"终端用途"`
	Serial       string `json:"serialNumber,omitempty" zh:"序列号或IMEI"`
	PermitNo     string `json:"accessPermitNo,omitempty" zh:"进网许可证号"`
	MarkCode     string `json:"permitMarkCode,omitempty" zh:"进网许可标志扰码"`
	MarkSerial   string `json:"permitMarkSerial,omitempty" zh:"进网许可标志序号"`
}

// Monitoring is M1, rows 1 to 12 of annex 2: one day's times in milliseconds, with the time of the day in Beijing.
type Monitoring struct {
	Day           string  `json:"day" zh:"日期" need:"y"`
	Prefix        string  `json:"prefix" zh:"标识前缀" need:"y"`
	ResolveAvg    float64 `json:"resolveAvgMs" zh:"解析平均时延"`
	ResolveMax    float64 `json:"resolveMaxMs" zh:"解析最大时延"`
	ResolveMaxAt  string  `json:"resolveMaxTime,omitempty" zh:"解析最大时延时间"`
	ResolveMin    float64 `json:"resolveMinMs" zh:"解析最小时延"`
	ResolveMinAt  string  `json:"resolveMinTime,omitempty" zh:"解析最小时延时间"`
	MaxQPS        float64 `json:"maxQps" zh:"最大QPS"`
	MaxQPSAt      string  `json:"maxQpsTime,omitempty" zh:"最大QPS时间"`
	RegisterAvg   float64 `json:"registerAvgMs" zh:"注册平均时延"`
	RegisterMax   float64 `json:"registerMaxMs" zh:"注册最大时延"`
	RegisterMaxAt string  `json:"registerMaxTime,omitempty" zh:"注册最大时延时间"`
	RegisterMin   float64 `json:"registerMinMs" zh:"注册最小时延"`
	RegisterMinAt string  `json:"registerMinTime,omitempty" zh:"注册最小时延时间"`
}

// Event is M2, rows 13 to 18 of annex 2: something is wrong, or right again.
type Event struct {
	Prefix   string `json:"prefix" zh:"标识前缀" need:"y"`
	State    int    `json:"state" zh:"状态" need:"y"` // 1 异常, 2 恢复正常
	No       string `json:"eventNo" zh:"事件编号" need:"y"`
	Recovers string `json:"recoverEventNo,omitempty" zh:"对应的异常事件编号"`
	Time     string `json:"time" zh:"时间" need:"y"`
	Cause    string `json:"cause,omitempty" zh:"原因"`
	Type     int    `json:"type" zh:"类型"` // 1 网络故障, 2 系统异常, 3 安全攻击, 4 其他
}

// SLA is annex 3 月度报告: one month of one node.
type SLA struct {
	Month          string   `json:"month" zh:"月份" need:"y"` // 2026-11
	Prefix         string   `json:"prefix" zh:"标识前缀" need:"y"`
	Availability   float64  `json:"slaPercent" zh:"SLA"`
	RegisterMs     float64  `json:"registerRttMs" zh:"注册平均往返时延"`
	ResolveMs      float64  `json:"resolveRttMs" zh:"解析平均往返时延"`
	ResolveP99     float64  `json:"resolveP99Ms" zh:"解析P99时延"`
	EffectiveHours float64  `json:"registerEffectiveHours" zh:"注册生效时间"` // approved → resolvable
	UptimeHours    float64  `json:"uptimeHours" zh:"运行时长"`
	Requests       uint64   `json:"resolveCount" zh:"解析请求量"`
	Registrations  uint64   `json:"registerCount" zh:"注册量"`
	Maintenance    []string `json:"maintenance,omitempty" zh:"停机维护"`
	Emergencies    []string `json:"emergencies,omitempty" zh:"突发事件"`
}

func (r Entity) key() string     { return r.Prefix }
func (r Entity) about() string   { return r.Prefix }
func (r Route) key() string      { return r.CodeType + " " + r.Prefix + " " + r.IP }
func (r Route) about() string    { return r.Prefix }
func (r Stats) key() string      { return r.Day + " " + r.Prefix }
func (r Stats) about() string    { return r.Prefix }
func (r Metadata) key() string   { return r.Code + " " + r.Version }
func (r Metadata) about() string { return r.Prefix }
func (r App) key() string        { return r.Prefix + " " + r.Name }
func (r App) about() string      { return r.Prefix }
func (r MainData) key() string   { return r.Handle }
func (r MainData) about() string {
	p, _, _ := strings.Cut(r.Handle, "/")
	return p
}
func (r Monitoring) key() string   { return r.Day + " " + r.Prefix }
func (r Monitoring) about() string { return r.Prefix }
func (r Event) key() string        { return r.No }
func (r Event) about() string      { return r.Prefix }
func (r SLA) key() string          { return r.Month + " " + r.Prefix }
func (r SLA) about() string        { return r.Prefix }

// Tables are all of them.
var Tables = []Table{
	declare[Entity]("T1", "Second-level node: operator", "二级节点运营主体信息", RealTime),
	declare[Route]("T2", "Second-level node: where it resolves", "二级节点解析配置信息", RealTime),
	declare[Stats]("T3", "Second-level node: counts", "二级节点统计信息", Daily),
	declare[Metadata]("T4", "Second-level node: metadata", "二级节点元数据信息", Daily),
	declare[App]("T5", "Second-level node: applications", "二级节点应用信息", Monthly),
	declare[Entity]("T6", "Enterprises", "企业主体信息", Hourly),
	declare[Route]("T7", "Enterprises: where they resolve", "企业解析路由信息", Hourly),
	declare[Stats]("T8", "Enterprises: counts", "企业统计信息", Daily),
	declare[MainData]("T9", "Enterprises: main data", "企业主数据", Daily),
	declare[App]("T10", "Enterprises: applications", "企业应用信息", Monthly),
	declare[Metadata]("T11", "Enterprises: metadata", "企业元数据信息", RealTime),
	declare[Monitoring]("M1", "Monitoring: times and rates", "运行监测：时延与并发", Daily),
	declare[Event]("M2", "Monitoring: events", "运行监测：异常事件", RealTime),
	declare[SLA]("SLA", "Monthly report", "月度服务报告", Monthly),
}

func declare[T Row](id, name, zh string, f Frequency) Table {
	t := Table{ID: id, Name: name, NameZH: zh, Frequency: f, row: reflect.TypeFor[T]()}
	for i := range t.row.NumField() {
		x := t.row.Field(i)
		n, _, _ := strings.Cut(x.Tag.Get("json"), ",")
		t.Fields = append(t.Fields, Field{Name: n, ZH: x.Tag.Get("zh"), Required: x.Tag.Get("need") != ""})
	}
	return t
}

// TableOf is the table with the ID, nil when there is none.
func TableOf(id string) *Table {
	for i := range Tables {
		if Tables[i].ID == id {
			return &Tables[i]
		}
	}
	return nil
}

// Report is what one node says to the one above it, in one message. It travels as a JWS by the node's key.
type Report struct {
	Table  string          `json:"table" doc:"T1 to T11, M1, M2, SLA"`
	Node   string          `json:"node" doc:"The prefix of the node that reports"`
	To     string          `json:"to" doc:"The prefix of the node that it reports to"`
	Seq    uint64          `json:"seq" doc:"Numbers the node's messages, without gaps"`
	Period string          `json:"period,omitempty" doc:"The hour, day or month that it is about, in Beijing"`
	Made   int64           `json:"made" doc:"When it was made, seconds since 1970"`
	Rows   json.RawMessage `json:"rows" doc:"The rows of the table"`
	Gone   []string        `json:"gone,omitempty" doc:"Keys of rows reported earlier that are no more"`
}

// maxRows are as many as one message carries.
const maxRows = 2000

// Decode reads the rows strictly: what is unknown, missing or of another type is problem.BadValue, naming the row.
func (r *Report) Decode() ([]Row, error) {
	t := TableOf(r.Table)
	if t == nil {
		return nil, problem.New(problem.BadValue, "there is no table %q: see /api/report-tables", "没有表 %q：请参见 /api/report-tables", r.Table)
	}
	var raw []json.RawMessage
	if err := json.Unmarshal(r.Rows, &raw); err != nil {
		return nil, problem.New(problem.BadValue, "rows of table %s is no list", "表 %s 的 rows 不是列表", r.Table)
	}
	if len(raw) > maxRows {
		return nil, problem.New(problem.TooLarge, "a message has %d rows, over the limit of %d", "一条消息有 %d 行，超过上限 %d", len(raw), maxRows)
	}
	out := make([]Row, 0, len(raw))
	for i, b := range raw {
		v := reflect.New(t.row)
		d := json.NewDecoder(bytes.NewReader(b))
		d.DisallowUnknownFields()
		err := d.Decode(v.Interface())
		if err == nil {
			if _, more := d.Token(); more != io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if err != nil {
			return nil, problem.New(problem.BadValue, "row %d of table %s does not have its shape: %v", "表 %[2]s 第 %[1]d 行格式不符：%[3]v", i+1, r.Table, err)
		}
		for k, f := range t.Fields {
			if f.Required && v.Elem().Field(k).IsZero() {
				return nil, problem.New(problem.BadValue, "row %d of table %s lacks %[3]s", "表 %[2]s 第 %[1]d 行缺少 %[4]s（%[3]s）", i+1, r.Table, f.Name, f.ZH)
			}
		}
		row := v.Elem().Interface().(Row)
		if !within(row.about(), r.Node) {
			return nil, problem.New(problem.BadValue, "row %d of table %s is about %s, which is not under %s", "表 %[2]s 第 %[1]d 行涉及 %[3]s，不在 %[4]s 之下", i+1, r.Table, row.about(), r.Node)
		}
		out = append(out, row)
	}
	return out, nil
}

// within reports whether prefix is above or below it.
func within(prefix, above string) bool {
	p, a := handle.Fold(prefix), handle.Fold(above)
	return a != "" && (p == a || strings.HasPrefix(p, a+"."))
}
