package trust

// SignStatement signs claims, anything that encoding/json writes, as a compact JWS (RFC 7515) by key: a step of an
// application, an applicant's proof. Its kind of signature is the key's; the header says it.
func SignStatement(key *PrivateKey, claims any) ([]byte, error) { return signJWS(key, claims) }

// OpenStatement checks a compact JWS against key and returns its claims as JSON. Times and audiences in them are the
// caller's to check. Errors: problem.Bogus.
func OpenStatement(statement []byte, key PublicKey) (claims []byte, err error) {
	const what = "statement"
	j, err := parseJWS(statement, what)
	if err != nil {
		return nil, err
	}
	if err := j.check(key, what); err != nil {
		return nil, err
	}
	return j.payload, nil
}
