package recordtest_test

import (
	"testing"

	"github.com/fujie-id/fujie/record"
	"github.com/fujie-id/fujie/record/recordtest"
)

func TestBook(t *testing.T) {
	recordtest.Run(t, func(t *testing.T) recordtest.Doors {
		admin := record.Ref{Index: 300, Name: "0.NA/88.118.1001"}
		b := recordtest.NewBook(admin, "88.118.1001")
		return recordtest.Doors{Resolver: b, Registrar: b, Lister: b, Feed: b, Appender: b,
			Admin: record.Identity{Ref: admin}, Prefix: "88.118.1001", Homes: true}
	})
}
