package gs1

import "strings"

// Title is the data title of an application identifier as the General Specifications print it: BATCH/LOT for 10. Empty when there is none.
func Title(ai string) string {
	if e := find(ai); e != nil {
		return e.title
	}
	return ""
}

// TitleZH is the title in Chinese where it is one of the common ones, else Title.
func TitleZH(ai string) string {
	if t, ok := titlesZH[ai]; ok {
		return t
	}
	if len(ai) == 4 {
		if t, ok := titlesZH[ai[:3]+"n"]; ok {
			return t
		}
	}
	return Title(ai)
}

// Line is a field as it is explained to people.
type Line struct {
	AI      string `json:"ai"`
	Title   string `json:"title"`
	TitleZH string `json:"titleZh"`
	Value   string `json:"value"`
	Key     bool   `json:"key,omitempty"`    // it names a thing by itself
	Number  string `json:"number,omitempty"` // of a measure or a price: the value with its decimal point, 1.95 for (3103)001950
}

// Explain says field by field what a code holds.
func (e Elements) Explain() []Line {
	lines := make([]Line, len(e))
	for i, f := range e {
		lines[i] = Line{AI: f.AI, Title: Title(f.AI), TitleZH: TitleZH(f.AI), Value: f.Value, Key: IsKey(f.AI), Number: f.Number()}
	}
	return lines
}

// Number is the value of a measure, an amount or a percentage with the decimal point that the last digit of its identifier puts, without needless zeros;
// what stands before an amount, its currency, is left out. Empty for other fields and for bad values.
func (f Element) Number() string {
	if len(f.AI) != 4 || f.AI[0] != '3' || f.Check() != nil {
		return ""
	}
	v := f.Value
	if p := f.AI[:3]; p == "391" || p == "393" {
		v = v[3:]
	}
	places := int(f.AI[3] - '0')
	if len(v) <= places {
		v = strings.Repeat("0", places-len(v)+1) + v
	}
	whole, rest := strings.TrimLeft(v[:len(v)-places], "0"), strings.TrimRight(v[len(v)-places:], "0")
	if whole == "" {
		whole = "0"
	}
	if rest == "" {
		return whole
	}
	return whole + "." + rest
}

var titlesZH = map[string]string{
	"00": "系列货运包装箱代码（SSCC）", "01": "全球贸易项目代码（GTIN）", "02": "所含贸易项目的 GTIN", "03": "按单制造项目的 GTIN",
	"10": "批号", "11": "生产日期", "12": "付款截止日期", "13": "包装日期", "15": "保质期", "16": "销售截止日期", "17": "有效期", "20": "内部产品变体",
	"21": "系列号", "22": "消费产品变体", "235": "第三方控制的 GTIN 系列扩展", "240": "附加产品标识", "241": "客户方代码", "242": "定制产品代码", "243": "包装组件代码",
	"250": "二级系列号", "251": "源实体参考代码", "253": "全球文件类型代码（GDTI）", "254": "全球参与方位置代码扩展", "255": "全球优惠券代码（GCN）", "30": "可变数量", "37": "所含贸易项目数量",
	"310n": "净重（千克）", "311n": "长度（米）", "312n": "宽度（米）", "313n": "高度（米）", "314n": "面积（平方米）", "315n": "净体积（升）", "316n": "净体积（立方米）",
	"330n": "毛重（千克）", "331n": "物流长度（米）", "332n": "物流宽度（米）", "333n": "物流高度（米）", "334n": "物流面积（平方米）", "335n": "物流体积（升）", "336n": "物流体积（立方米）",
	"337n": "每平方米千克数", "390n": "应付金额", "391n": "应付金额（带货币）", "392n": "价格", "393n": "价格（带货币）", "394n": "优惠百分比", "395n": "单位价格",
	"400": "客户订购单代码", "401": "全球托运标识代码（GINC）", "402": "全球装运标识代码（GSIN）", "403": "路径代码", "410": "交货地位置码", "411": "受票方位置码", "412": "供货方位置码",
	"413": "最终目的地位置码", "414": "物理位置代码（GLN）", "415": "开票方位置码", "416": "生产或服务位置码", "417": "参与方代码（GLN）", "420": "交货地邮政编码", "421": "交货地邮政编码（带国家）",
	"422": "原产国", "423": "初始加工国", "424": "加工国", "425": "拆分国", "426": "全程加工国", "7003": "失效日期和时间", "7004": "活性值", "7006": "首次冷冻日期", "7007": "收获日期",
	"7011": "检测日期", "710": "国家医保代码（德国）", "8002": "移动电话设备标识", "8003": "全球可回收资产代码（GRAI）", "8004": "全球单个资产代码（GIAI）", "8005": "单价", "8006": "贸易项目组件代码（ITIP）",
	"8007": "国际银行账号（IBAN）", "8008": "生产日期和时间", "8010": "部件代码（CPID）", "8011": "部件系列号", "8012": "软件版本", "8013": "全球型号代码（GMN）", "8017": "服务提供方代码（GSRN）",
	"8018": "服务对象代码（GSRN）", "8019": "服务关系事项代码", "8020": "付款单代码", "8110": "优惠券代码（北美）", "8112": "优惠券代码（北美，正向文件）", "8200": "产品网址", "90": "贸易伙伴约定信息",
}
