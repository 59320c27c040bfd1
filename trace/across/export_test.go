package across

import (
	"encoding/json"
	"time"

	"github.com/fujie-id/fujie/trust"
)

// SignForTest signs an answer as its owner would.
func SignForTest(key *trust.PrivateKey, owner, asker string, sent []byte, b Body) ([]byte, string) {
	out, err := json.Marshal(b)
	if err != nil {
		panic(err)
	}
	st, err := trust.SignStatement(key, statement{answerType, "300:0.NA/" + owner, owner, asker, time.Now().Unix(), digest(sent), digest(out)})
	if err != nil {
		panic(err)
	}
	return out, string(st)
}
