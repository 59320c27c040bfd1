package sim

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"

	"github.com/fujie-id/fujie/id"
	"github.com/fujie-id/fujie/record"
)

// sampleSize is how many identifiers an enterprise of the sample country registers at first.
const sampleSize = 60

// line is a product line of a sample enterprise: how its identifiers are numbered and what each says.
type line struct {
	number func(i int) string
	values func(i int, r *rand.Rand) []field
}

type field struct{ name, data string }

// lines are the products of the sample enterprises, by the name that china.yaml gives them.
var lines = map[string]line{
	"pumps": {
		func(i int) string { return fmt.Sprintf("PUMP-2026-%04d", i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "输液泵 Infusion pump QM-" + pick(r, "200", "300", "500")},
				{"serialNumber", fmt.Sprintf("QM26%06d", i*7+1000)},
				{"productionDate", day(r)},
				{"flowRange", "0.1–1200 mL/h"},
				{"registrationCertificate", fmt.Sprintf("国械注准2024%07d", 3140000+r.IntN(900))},
			}
		},
	},
	"implants": {
		func(i int) string { return fmt.Sprintf("IMP.%s.%04d", []string{"HIP", "KNEE", "SPINE"}[i%3], i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", []string{"髋关节柄 Hip stem", "胫骨托 Tibial tray", "椎间融合器 Spinal cage"}[i%3]},
				{"material", pick(r, "Ti6Al4V", "CoCrMo", "PEEK")},
				{"lot", fmt.Sprintf("L26%02d%02d", 1+r.IntN(12), 1+r.IntN(28))},
				{"sterilisation", pick(r, "gamma", "ethylene oxide")},
				{"expiryDate", fmt.Sprintf("2031-%02d-01", 1+r.IntN(12))},
			}
		},
	},
	"engines": {
		func(i int) string { return fmt.Sprintf("ENG-%d", i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "柴油发动机 Diesel engine SC" + pick(r, "4D", "6D", "8V")},
				{"ratedPower", fmt.Sprintf("%d kW", 80+10*r.IntN(30))},
				{"productionDate", day(r)},
				{"line", pick(r, "A1", "A2", "B1")},
				{"mainBearing", fmt.Sprintf("88.101.0043/6308-%05d", i)},
			}
		},
	},
	"bearings": {
		func(i int) string { return fmt.Sprintf("6308-%05d", i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "深沟球轴承 Deep groove ball bearing 6308"},
				{"heat", fmt.Sprintf("GCr15-%04d", 1000+r.IntN(9000))},
				{"radialClearance", fmt.Sprintf("%d µm", 10+r.IntN(14))},
				{"productionDate", day(r)},
			}
		},
	},
	"liquor": {
		func(i int) string { return fmt.Sprintf("瓶-%06d", i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "杏泉陈酿 500 mL 52% vol"},
				{"lot", fmt.Sprintf("2026%02d%02d", 1+r.IntN(12), 1+r.IntN(28))},
				{"box", fmt.Sprintf("88.608.24061301/箱-%05d", (i-1)/6+1)},
				{"bottlingLine", pick(r, "1", "2", "3")},
			}
		},
	},
	"dairy": {
		func(i int) string { return fmt.Sprintf("MILK-260%d-%05d", 1+i%9, i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "巴氏杀菌乳 Pasteurised milk 950 mL"},
				{"farm", pick(r, "北坡牧场", "河湾牧场")},
				{"storage", "2–6 °C"},
				{"bestBefore", day(r)},
			}
		},
	},
	"trucks": {
		func(i int) string { return fmt.Sprintf("LCY%014d", 26000000000000+i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "纯电动轻卡 Electric light truck CY3"},
				{"vin", fmt.Sprintf("LCY%014d", 26000000000000+i)},
				{"traction battery", fmt.Sprintf("88.709.912/PACK-%05d", i)},
				{"productionDate", day(r)},
			}
		},
	},
	"batteries": {
		func(i int) string { return fmt.Sprintf("PACK-%05d", i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "磷酸铁锂电池包 LFP traction battery 81 kWh"},
				{"ratedCapacity", "228 Ah"},
				{"cells", "112"},
				{"stateOfHealth", fmt.Sprintf("%.1f %%", 96+4*r.Float64())},
			}
		},
	},
	"cables": {
		func(i int) string { return fmt.Sprintf("DRUM-%04d", i) },
		func(i int, r *rand.Rand) []field {
			return []field{
				{"productName", "电缆盘 Cable drum " + pick(r, "GYTS-24B1", "YJV22-3×95")},
				{"length", fmt.Sprintf("%d m", 1000+100*r.IntN(40))},
				{"test report", fmt.Sprintf("TR-26-%04d", 1+r.IntN(9999))},
			}
		},
	},
}

// Sample is the records that an enterprise with this product line registers at first: the same ones each time.
func Sample(kind, prefix, maker string) []record.Write {
	l, ok := lines[kind]
	if !ok {
		return nil
	}
	r := rand.New(rand.NewPCG(2026, uint64(len(kind))))
	out := make([]record.Write, 0, sampleSize)
	for i := 1; i <= sampleSize; i++ {
		name := prefix + "/" + l.number(i)
		vs := []record.Value{textValue(1, "URL", fmt.Sprintf("https://products.example/%s/%s", prefix, l.number(i))),
			textValue(2000, "manufacturer", maker)}
		for j, f := range l.values(i, r) {
			vs = append(vs, textValue(uint32(2001+j), f.name, f.data))
		}
		out = append(out, record.Write{Op: record.Create, ID: id.MustParse(name), Values: vs})
	}
	return out
}

func textValue(index uint32, typ, data string) record.Value {
	return record.Value{Index: index, Type: typ, Data: []byte(data), Perm: record.DefaultPerm, TTL: record.TTL{Seconds: record.DefaultTTL}}
}

func pick(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

func day(r *rand.Rand) string { return fmt.Sprintf("2026-%02d-%02d", 1+r.IntN(10), 1+r.IntN(28)) }

// Odd is how many lines of WriteDevices cannot be registered, and why.
type Odd struct{ NoCompany, Duplicate, TooLong int }

// WriteDevices writes n lines in the shape of the openFDA device list, for the map openfda-udi.yaml: invented devices of
// invented companies, and among them a few lines of each odd kind. It returns how many lines cannot be registered.
func WriteDevices(w io.Writer, n int) (Odd, error) {
	companies := []string{"HARBOUR ORTHOPAEDICS LTD", "Lumen Imaging, Inc.", "Northfield Surgical GmbH", "KESTREL CARDIO S.A.", "Tessera Dental Co.", "青禾医疗器械有限公司"}
	goods := []string{"Acetabular insert", "Spinal screw", "Infusion set", "Dental implant", "Guide wire", "Suture", "血氧探头"}
	r := rand.New(rand.NewPCG(118, 2026))
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	var odd Odd
	for i := range n {
		device := fmt.Sprintf("069%011d", 40000000+i)
		d := map[string]any{
			"brandName": pick(r, "Alto", "Vireo", "Steady", "Clearline") + " " + pick(r, goods...), "versionModelNumber": fmt.Sprintf("M-%05d", i),
			"companyName": companies[r.IntN(len(companies))], "publishDate": day(r), "description": pick(r, goods...) + ", sterile",
			"lotBatch": "true", "serialNumber": "false", "manufacturingDate": "false", "expirationDate": "true", "singleUse": pick(r, "true", "false"), "rx": "true",
			"gmdn": []string{pick(r, goods...)},
		}
		switch {
		case i%250 == 100:
			delete(d, "companyName")
			odd.NoCompany++
		case i%250 == 150:
			d["brandName"] = fmt.Sprintf("%0300d", i)
			odd.TooLong++
		case i%250 == 200:
			// The device before, of the same company, with another text: two lines claim one identifier.
			device = fmt.Sprintf("069%011d", 40000000+i-1)
			d["companyName"] = companies[0]
			odd.Duplicate++
		case i%250 == 199:
			d["companyName"] = companies[0]
		}
		if r.IntN(5) == 0 {
			d["storageHandling"] = []map[string]any{{"high": map[string]string{"value": "30", "unit": "Degrees Celsius"}, "type": "Storage Environment Temperature"}}
		}
		d["identifiers"] = []map[string]string{{"deviceId": device, "deviceIdType": "Primary", "deviceIdIssuingAgency": "GS1"}}
		if err := enc.Encode(d); err != nil {
			return odd, err
		}
	}
	return odd, nil
}
