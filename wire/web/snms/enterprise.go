package snms

import (
	"context"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// Enterprises is the office where enterprises apply for prefixes. Errors of all: problem.NotFound, Exists, BadValue,
// NeedAuth, Forbidden.
type Enterprises interface {
	Apply(ctx context.Context, by record.Identity, a *Application) (identifier string, err error)
	// Change sends an application's data anew.
	Change(ctx context.Context, by record.Identity, a *Application) error
	Page(ctx context.Context, by record.Identity, page, size int) (rows []Enterprise, total int, err error)
	Detail(ctx context.Context, by record.Identity, identifier string) (*Application, error)
	Prefixes(ctx context.Context, by record.Identity, prefix string, page, size int) (rows []Prefix, total int, err error)
	// Configure says where the identifiers under a prefix are: hosted here, or on a server of the enterprise's own.
	Configure(ctx context.Context, by record.Identity, p *Pointing) error
	// Upload keeps a file that belongs to an application, and gives the name by which it is referred to.
	Upload(ctx context.Context, by record.Identity, name string, data []byte) (rid string, err error)
}

// Application is what an enterprise applies with.
type Application struct {
	ID       string   `json:"id,omitempty"`
	Basic    Basic    `json:"entBasicInfo"`
	Manage   Manage   `json:"entRegisterManageInfo"`
	User     *User    `json:"sysUser,omitempty"`
	Prefixes []Prefix `json:"entPrefixInfos,omitempty"`
}

// Basic is the enterprise itself.
type Basic struct {
	OrgName          string `json:"orgName"`
	OrgNature        Number `json:"orgNature"` // 1 state, 2 private, 3 foreign, 4 public institution, 5 private non-profit
	OrgAddrProvince  string `json:"orgAddrProvince"`
	OrgAddrCity      string `json:"orgAddrCity"`
	OrgAddrCounty    string `json:"orgAddrCounty"`
	OrgAddr          string `json:"orgAddr"`
	OrgCrtType       Number `json:"orgCrtType"` // 1 unified social credit code, 2 other
	OrgCrtCode       string `json:"orgCrtCode"`
	OrgCrtImgRid     string `json:"orgCrtImgRid"`
	IndustryCategory string `json:"industryCategory"`
	IndustrySpecific string `json:"industrySpecific"`
	Website          string `json:"website"`
	ContactName      string `json:"contactName"`
	ContactPhone     string `json:"contactPhone"`
	ContactEmail     string `json:"contactEmail"`
	LegalName        string `json:"legalName"`
	LegalCrtType     Number `json:"legalCrtType"`
	LegalCrtCode     string `json:"legalCrtCode"`
	EntPrefix        string `json:"entPrefix"` // which the applicant proposes
}

// Manage is the systems of the enterprise.
type Manage struct {
	Systems []System `json:"entInfoSyses"`
	Build   Number   `json:"servSysBuildType"` // 1 own, 2 entrusted
	Operate Number   `json:"servSysOperType"`
}

// System is one of them.
type System struct {
	Type   Number `json:"sysType"`    // 1 registration, 2 registered data, 3 backup, 4 resolution, 5 backup of the service
	Deploy Number `json:"deployMode"` // 1 local, 2 cloud
	Addr   string `json:"ipPort"`     // [x.x.x.x]:port
}

// User is the first account of the enterprise.
type User struct {
	UserName string `json:"userName"`
	Password string `json:"password"`
	Email    string `json:"email"`
	Mobile   string `json:"mobile"`
	Remarks  string `json:"remarks"`
}

// Enterprise is a line of the list.
type Enterprise struct {
	ID           string   `json:"id"`
	OrgName      string   `json:"orgName"`
	OrgNature    int      `json:"orgNature"`
	OrgCrtType   int      `json:"orgCrtType"`
	OrgCrtCode   string   `json:"orgCrtCode"`
	Website      string   `json:"website"`
	EntGeneralID string   `json:"entGeneralId"`
	OpenIDs      []string `json:"openIds"`
	CreateDate   string   `json:"createDate"` // 2006-01-02 15:04:05, Beijing
	UpdateDate   string   `json:"updateDate"`
}

// The states of a prefix.
const (
	PrefixStopped  = 0
	PrefixInUse    = 1
	PrefixLeaving  = 2
	PrefixRefused  = 3
	PrefixWaiting  = 4
	PrefixInReview = 5

	NotHosted      = 1
	HostingAsked   = 2
	HostingRefused = 3
	Hosted         = 4
)

// Prefix is one prefix and its state.
type Prefix struct {
	EntPrefix  string `json:"entPrefix"`
	OrgName    string `json:"orgName"`
	GHRName    string `json:"ghrName"` // the node above
	State      int    `json:"state"`
	ProxyState int    `json:"proxyState"`
	CreateDate string `json:"createDate"`
}

// Pointing is where the identifiers under a prefix are.
type Pointing struct {
	EntPrefix     string `json:"entPrefix"`
	ProxyServerID string `json:"proxyServerId"` // hosted: any text
	HdlType       string `json:"hdlType"`       // self-built: HS_SITE
	IP            string `json:"ip"`
	IPType        Number `json:"ipType"`
	TCPPort       Number `json:"tcpPort"`
	UDPPort       Number `json:"udpPort"`
	HTTPPort      Number `json:"httpPort"`
}

// page is a list as the interface gives it.
type page[T any] struct {
	First            bool `json:"first"`
	Last             bool `json:"last"`
	Number           int  `json:"number"`
	NumberOfElements int  `json:"numberOfElements"`
	Size             int  `json:"size"`
	TotalElements    int  `json:"totalElements"`
	TotalPages       int  `json:"totalPages"`
	Content          []T  `json:"content"`
}

func paged[T any](rows []T, total, number, size int) page[T] {
	pages := (total + size - 1) / size
	if rows == nil {
		rows = []T{}
	}
	return page[T]{First: number == 0, Last: number+1 >= pages, Number: number, NumberOfElements: len(rows), Size: size,
		TotalElements: total, TotalPages: pages, Content: rows}
}

// window reads which page is asked for: page counts from 0, size is at most 1000.
func (c *call) window() (number, size int, err error) {
	size = 10
	for name, to := range map[string]*int{"page": &number, "size": &size} {
		if v := c.r.URL.Query().Get(name); v != "" {
			if *to, err = strconv.Atoi(v); err != nil || *to < 0 {
				return 0, 0, refuse("参数 " + name + " 有误")
			}
		}
	}
	if size == 0 || size > 1000 || number > 1<<20 {
		return 0, 0, refuse("参数 size 应在 1 到 1000 之间")
	}
	return number, size, nil
}

func (s *Server) office() error {
	if s.Enterprises == nil {
		return refuse("本节点不受理前缀申请")
	}
	return nil
}

func (c *call) application() (*Application, error) {
	if err := c.s.office(); err != nil {
		return nil, err
	}
	if err := c.secure(); err != nil {
		return nil, err
	}
	var a Application
	if err := c.body(&a); err != nil {
		return nil, err
	}
	b := &a.Basic
	switch {
	case b.OrgName == "":
		return nil, missing("orgName")
	case b.OrgCrtCode == "":
		return nil, missing("orgCrtCode")
	case len(b.OrgCrtCode) > 32:
		return nil, refuse("orgCrtCode 长度不能超过 32")
	case b.EntPrefix == "":
		return nil, missing("entPrefix")
	case len(b.EntPrefix) > 64:
		return nil, refuse("entPrefix 长度不能超过 64")
	case b.OrgNature < 0 || b.OrgNature > 5:
		return nil, refuse("orgNature 应在 1 到 5 之间")
	}
	return &a, nil
}

func (s *Server) apply(c *call) (any, error) {
	a, err := c.application()
	if err != nil {
		return nil, err
	}
	if a.User == nil || a.User.UserName == "" || a.User.Password == "" {
		return nil, missing("sysUser")
	}
	identifier, err := s.Enterprises.Apply(c.r.Context(), c.by, a)
	if err != nil {
		return nil, prefixProblem(err)
	}
	return identifier, nil
}

func (s *Server) upgrade(c *call) (any, error) {
	a, err := c.application()
	if err != nil {
		return nil, err
	}
	if err := s.Enterprises.Change(c.r.Context(), c.by, a); err != nil {
		return nil, prefixProblem(err)
	}
	return true, nil
}

func (s *Server) enterprises(c *call) (any, error) {
	if err := s.office(); err != nil {
		return nil, err
	}
	number, size, err := c.window()
	if err != nil {
		return nil, err
	}
	rows, total, err := s.Enterprises.Page(c.r.Context(), c.by, number, size)
	if err != nil {
		return nil, err
	}
	return paged(rows, total, number, size), nil
}

func (s *Server) enterprise(c *call) (any, error) {
	if err := s.office(); err != nil {
		return nil, err
	}
	identifier := c.r.URL.Query().Get("id")
	if identifier == "" {
		return nil, missing("id")
	}
	a, err := s.Enterprises.Detail(c.r.Context(), c.by, identifier)
	if problem.Is(err, problem.NotFound) {
		return nil, refuse("企业不存在")
	}
	return a, err
}

func (s *Server) prefix(c *call) (any, error) {
	if err := s.office(); err != nil {
		return nil, err
	}
	q := c.r.URL.Query()
	name := q.Get("entPrefix")
	if name == "" {
		name = q.Get("prefix")
	}
	if name == "" {
		return nil, missing("entPrefix")
	}
	rows, _, err := s.Enterprises.Prefixes(c.r.Context(), c.by, name, 0, 1)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, refuse("前缀不存在")
	}
	return rows[0], nil
}

func (s *Server) prefixes(c *call) (any, error) {
	if err := s.office(); err != nil {
		return nil, err
	}
	number, size, err := c.window()
	if err != nil {
		return nil, err
	}
	rows, total, err := s.Enterprises.Prefixes(c.r.Context(), c.by, "", number, size)
	if err != nil {
		return nil, err
	}
	return paged(rows, total, number, size), nil
}

func (s *Server) configure(c *call) (any, error) {
	if err := s.office(); err != nil {
		return nil, err
	}
	var p Pointing
	if err := c.body(&p); err != nil {
		return nil, err
	}
	switch {
	case p.EntPrefix == "":
		return nil, missing("entPrefix")
	case p.ProxyServerID == "" && p.IP == "":
		return nil, missing("proxyServerId 或 ip")
	case p.ProxyServerID == "" && p.HdlType != "" && p.HdlType != record.TypeSite:
		return nil, refuse("hdlType 只支持 HS_SITE")
	case p.ProxyServerID == "" && p.TCPPort == 0 && p.UDPPort == 0 && p.HTTPPort == 0:
		return nil, refuse("tcpPort、udpPort、httpPort 至少填写一个")
	}
	for _, port := range []Number{p.TCPPort, p.UDPPort, p.HTTPPort} {
		if port < 0 || port > 65535 {
			return nil, refuse("端口应在 1 到 65535 之间")
		}
	}
	if err := s.Enterprises.Configure(c.r.Context(), c.by, &p); err != nil {
		return nil, prefixProblem(err)
	}
	return true, nil
}

const maxUpload = 5 << 20

// upload takes a form with one file.
func (s *Server) upload(c *call) (any, error) {
	if err := s.office(); err != nil {
		return nil, err
	}
	if t, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || t != "multipart/form-data" {
		return nil, refuse("请以 multipart/form-data 上传文件")
	}
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxUpload+64<<10)
	parts, err := c.r.MultipartReader()
	if err != nil {
		return nil, refuse("上传内容有误")
	}
	for {
		p, err := parts.NextPart()
		if err != nil {
			return nil, missing("file")
		}
		if p.FormName() != "file" {
			continue
		}
		b, err := io.ReadAll(io.LimitReader(p, maxUpload+1))
		switch {
		case err != nil:
			return nil, refuse("上传中断")
		case len(b) > maxUpload:
			return nil, refuse("文件不能超过 5 MB")
		case len(b) == 0:
			return nil, refuse("文件为空")
		}
		rid, err := s.Enterprises.Upload(c.r.Context(), c.by, p.FileName(), b)
		if err != nil {
			return nil, err
		}
		return struct {
			RID string `json:"rid"`
		}{rid}, nil
	}
}

func prefixProblem(err error) error {
	switch problem.KindOf(err) {
	case problem.Exists:
		return refuse("前缀已被占用: " + problem.Say(err, problem.Chinese))
	case problem.NotFound:
		return refuse("前缀不存在")
	}
	return err
}

func templateProblem(err error) error {
	switch problem.KindOf(err) {
	case problem.Exists:
		return refuse("模板已存在")
	case problem.NotFound:
		return refuse("模板不存在")
	}
	return err
}
