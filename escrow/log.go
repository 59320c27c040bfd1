package escrow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"time"

	"github.com/fujie-id/fujie/problem"
)

// Logged is a line of the deposit log: what was deposited, when, and what came of it.
type Logged struct {
	Prefix    string    `json:"prefix"`
	Watermark uint64    `json:"watermark"`
	Rev       int       `json:"rev"`
	DataType  Kind      `json:"data_type"`
	Start     time.Time `json:"start"`
	End       time.Time `json:"end"`
	Status    string    `json:"status"` // SUCCESS or FAIL
	DepositID string    `json:"deposit_id"`
	Records   int64     `json:"records"`
	Cause     string    `json:"cause,omitempty"`
}

// log adds a line to the deposit log.
func (cfg *Config) log(m *Manifest, start time.Time, failed error) error {
	if cfg.Log == "" {
		return nil
	}
	l := Logged{Prefix: m.Prefix, Watermark: m.Watermark, Rev: m.Rev, DataType: m.Kind, Start: start, End: cfg.Now().UTC(), Status: "SUCCESS", DepositID: m.Deposit, Records: m.Records}
	if failed != nil {
		l.Status, l.Cause = "FAIL", failed.Error()
	}
	b, err := json.Marshal(l)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(cfg.Log), 0o700)
	}
	if err == nil {
		err = appendFile(cfg.Log, append(b, '\n'))
	}
	if err != nil {
		return problem.Wrap(err, problem.Full, "the deposit log %s cannot be written: see that there is room", "无法写入托管日志 %s：请检查剩余空间", cfg.Log)
	}
	return nil
}

func appendFile(name string, b []byte) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err2 := f.Close(); err == nil {
		err = err2
	}
	return err
}

// Next is when the next daily deposit is due behind now: at 8 o'clock in Beijing (china.md §1.6).
func Next(now time.Time) time.Time {
	beijing := time.FixedZone("UTC+8", 8*60*60)
	n := now.In(beijing)
	at := time.Date(n.Year(), n.Month(), n.Day(), 8, 0, 0, 0, beijing)
	if !at.After(now) {
		at = at.AddDate(0, 0, 1)
	}
	return at
}
