package label

import (
	"context"
	"io"
	"testing"
)

func BenchmarkThousandPDF(b *testing.B) {
	p := press(b, bottle(b))
	for b.Loop() {
		if err := p.PDF(context.Background(), io.Discard, Run{Things: things(1000)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThousandZPL(b *testing.B) {
	p := press(b, bottle(b))
	for b.Loop() {
		if err := p.WriteZPL(context.Background(), io.Discard, Run{Things: things(1000)}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSymbols(b *testing.B) {
	for _, k := range Kinds {
		data := "HTTPS://ID.EXAMPLE.CN/88.118.1001/BOTTLE-000123456"
		if k.GS1() {
			data = "(01)09521234543213(21)A1"
		}
		b.Run(string(k), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(k, data, Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
