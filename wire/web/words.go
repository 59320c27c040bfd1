package web

import (
	"fmt"
	"strings"

	"github.com/fujie-id/fujie/record"
)

// words is everything a page says, in one language.
type words struct {
	Title, Enter, Example, LookUp, OtherLang                                                                     string
	NotFound, NotFoundHint, NotHere, NotHereHint, Bogus, BogusHint, Away, AwayHint, Broken                       string
	NothingPublic, Referred, Identifier, Printed, Origin, Source, FromStore, FromCache, StaleAs                  string
	What, Value, Index, Changed, Keep, Until, System, SystemHint, AsJSON, Alias, Node, Scan, Colon, Keeper, GoOn string
	Trust                                                                                                        map[record.Trust]string
	Labels                                                                                                       map[string]string
	split                                                                                                        bool // names of types are English words written together
	units                                                                                                        [4]string
}

// label is what people call a type; the type itself when they have no other word.
func (w *words) label(typ string) string {
	if l, ok := w.Labels[strings.ToUpper(typ)]; ok {
		return l
	}
	if w.split {
		return spread(typ)
	}
	return typ
}

// spread makes words of a name in camel case: flowRange is Flow range.
func spread(name string) string {
	if name == "" || name[0] < 'a' || name[0] > 'z' {
		return name
	}
	b := []byte{name[0] - 'a' + 'A'}
	for i := 1; i < len(name); i++ {
		c := name[i]
		switch {
		case c >= 0x80 || c < '0':
			return name // no name of that kind
		case 'A' <= c && c <= 'Z' && (i+1 == len(name) || 'a' <= name[i+1] && name[i+1] <= 'z'):
			b = append(b, ' ', c-'A'+'a')
		default:
			b = append(b, c)
		}
	}
	return string(b)
}

// duration is a number of seconds in the largest unit that divides it.
func (w *words) duration(s uint32) string {
	for i, n := range []uint32{86400, 3600, 60} {
		if s >= n && s%n == 0 {
			return w.count(s/n, w.units[i])
		}
	}
	return w.count(s, w.units[3])
}

func (w *words) count(n uint32, unit string) string {
	if n == 1 {
		unit = strings.TrimSuffix(unit, "s")
	}
	return fmt.Sprintf("%d %s", n, unit)
}

var english = words{
	Title: "Identifier look-up", Enter: "Enter or paste a code", Example: "for example 88.118.1001/ENG-42 or VAA0881181001/ENG-42",
	LookUp: "Look up", OtherLang: "中文", Scan: "Scan the code on a product with your phone, or type it here, to see what its maker registered.",
	NotFound: "This code is not registered.", NotFoundHint: "The service that answers for its prefix knows no such identifier. Check the spelling; if it is printed on a product, ask whoever sold it.",
	NotHere: "This node does not answer for this prefix.", NotHereHint: "Ask a recursive node, which finds the responsible one by itself.",
	Bogus: "An answer came, but its signatures do not hold. It is not shown.", BogusHint: "Somebody on the way may have changed it, or its keeper has a mistake in its keys. Do not trust the product on the strength of this code.",
	Away: "The service that keeps this record cannot be reached now.", AwayHint: "Try again in a moment.", Broken: "Something went wrong here.",
	NothingPublic: "The identifier is registered, but nothing in its record is public.", Referred: "Another service answers for this identifier.",
	Identifier: "Identifier", Printed: "Printed on goods as", Origin: "Is it true?", Source: "Answer from", FromStore: "this node, which keeps the record", FromCache: "this node's memory of an earlier answer",
	StaleAs: "Every service that keeps this record is away. What you see is an older answer, past its lifetime.",
	What:    "What", Value: "Value", Index: "Index", Changed: "Changed", Keep: "May be kept for", Until: "until", System: "Technical values", SystemHint: "keys, administrators and signatures of the record",
	AsJSON: "As JSON", Alias: "This is another name of", Node: "Node", Colon: ": ", GoOn: "Go to its web page",
	Keeper: "From its source: this node itself keeps the record. Ask a recursive node to have the signatures above it checked too.",
	Trust: map[record.Trust]string{
		record.Secure:    "Verified: every signature from the root of the system to this answer holds. It is what its keeper registered.",
		record.Unsigned:  "Not signed: some authority on the way signs nothing, so this may be true, but nobody vouches for it.",
		record.Unchecked: "Not checked: the node that answered did not look at signatures.",
	},
	Labels: map[string]string{"URL": "Web page", "EMAIL": "E-mail", "DESC": "Description", "HS_ADMIN": "Administrator", "HS_PUBKEY": "Public key", "HS_SITE": "Service site",
		"HS_SIGNATURE": "Signature", "HS_CERT": "Certificate", "HS_VLIST": "Group", "HS_ALIAS": "Alias", "HS_SERV": "Service", "10320/LOC": "Addresses", "HS_NAMESPACE": "Namespace"},
	split: true,
	units: [4]string{"days", "hours", "minutes", "seconds"},
}

var chinese = words{
	Title: "标识查询", Enter: "输入或粘贴标识", Example: "例如 88.118.1001/ENG-42 或 VAA0881181001/ENG-42",
	LookUp: "查询", OtherLang: "English", Scan: "用手机扫描产品上的标识，或在此输入，即可查看企业登记的信息。",
	NotFound: "该标识未注册。", NotFoundHint: "负责该前缀的服务没有此标识。请核对拼写；如果它印在产品上，请咨询销售者。",
	NotHere: "本节点不负责该前缀。", NotHereHint: "请向递归节点查询，它会自行找到负责的节点。",
	Bogus: "收到了应答，但其签名不成立，因此不予显示。", BogusHint: "传输途中可能有人改动，或保存者的密钥有误。请勿凭此标识信任该产品。",
	Away: "保存该记录的服务目前无法访问。", AwayHint: "请稍后再试。", Broken: "本节点发生错误。",
	NothingPublic: "该标识已注册，但其记录中没有公开的内容。", Referred: "该标识由其他服务应答。",
	Identifier: "标识", Printed: "印刷形式", Origin: "是否可信", Source: "应答来自", FromStore: "本节点（保存该记录）", FromCache: "本节点先前缓存的应答",
	StaleAs: "保存该记录的所有服务都无法访问，以下是已过有效期的旧应答。",
	What:    "项目", Value: "内容", Index: "索引", Changed: "更新时间", Keep: "可缓存", Until: "至", System: "技术信息", SystemHint: "记录的密钥、管理员和签名",
	AsJSON: "JSON 格式", Alias: "这是另一名称，指向", Node: "节点", Colon: "：", GoOn: "前往其网页",
	Keeper: "直接来自源头：本节点就是该记录的保存者。如需一并检验其上各级签名，请向递归节点查询。",
	Trust: map[record.Trust]string{
		record.Secure:    "已验证：从体系根到本应答的每一级签名都成立，内容与登记者所登记的一致。",
		record.Unsigned:  "未签名：途中有机构没有签名，内容可能属实，但无人为其担保。",
		record.Unchecked: "未检验：应答的节点没有检验签名。",
	},
	Labels: map[string]string{
		"COMPANYNAME": "企业名称", "MANUFACTURER": "生产企业", "BRANDNAME": "品牌", "PRODUCTNAME": "产品名称", "VERSIONMODELNUMBER": "型号", "MODELNUMBER": "型号", "CATALOGNUMBER": "货号", "SERIALNUMBER": "序列号", "BATCHNUMBER": "批号", "LOTBATCH": "批号", "PRODUCTIONDATE": "生产日期", "MANUFACTURINGDATE": "生产日期", "EXPIRYDATE": "有效期至", "EXPIRATIONDATE": "有效期至", "PUBLISHDATE": "发布日期", "DESCRIPTION": "说明", "DEVICEID": "产品标识", "ISSUINGAGENCY": "发码机构", "REGISTRATIONCERTIFICATE": "注册证编号", "SINGLEUSE": "一次性使用", "PRESCRIPTION": "凭处方使用", "LOTCONTROLLED": "按批号管理", "SERIALCONTROLLED": "按序列号管理", "MANUFACTURINGDATEMARKED": "标有生产日期", "EXPIRATIONDATEMARKED": "标有有效期", "STORAGEHANDLING": "储运条件", "IDENTIFIERS": "各类标识", "GMDNTERMS": "GMDN 名称", "MATERIAL": "材料", "LENGTH": "长度", "RATEDPOWER": "额定功率", "RATEDCAPACITY": "额定容量", "STATEOFHEALTH": "健康状态", "RADIALCLEARANCE": "径向游隙", "FLOWRANGE": "流量范围", "STERILISATION": "灭菌方式",
		"URL": "网页", "EMAIL": "电子邮箱", "DESC": "说明", "NAME": "名称", "HS_ADMIN": "管理员", "HS_PUBKEY": "公钥", "HS_SITE": "服务站点",
		"HS_SIGNATURE": "签名", "HS_CERT": "证书", "HS_VLIST": "用户组", "HS_ALIAS": "别名", "HS_SERV": "服务", "10320/LOC": "地址", "HS_NAMESPACE": "命名空间"},
	units: [4]string{"天", "小时", "分钟", "秒"},
}
