package trust

import (
	"bytes"
	"io"
	"os"

	"github.com/fujie-id/fujie/problem"
)

// Format is a way to write a key down.
type Format string

// The formats that keys are converted between.
const (
	FormatPEM    Format = "pem"    // PKCS #8 and X.509 SubjectPublicKeyInfo; with a passphrase, encrypted PKCS #8
	FormatHandle Format = "handle" // Handle.Net's files: admpriv.bin, and pubkey.bin, which is HS_PUBKEY data
	FormatJWK    Format = "jwk"    // JSON Web Key
)

// ParseFormat reads a format's name. The error is of kind problem.BadValue.
func ParseFormat(s string) (Format, error) {
	switch lower(s) {
	case "", "pem":
		return FormatPEM, nil
	case "handle", "bin", "hdl":
		return FormatHandle, nil
	case "jwk", "json":
		return FormatJWK, nil
	}
	return "", problem.New(problem.BadValue, "%q is no format of keys; take pem, handle or jwk", "%q 不是密钥格式；请用 pem、handle 或 jwk", clip(s))
}

func isPEM(b []byte) bool { return bytes.Contains(b, []byte("-----BEGIN ")) }
func isJSON(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n\ufeff")
	return len(b) > 0 && b[0] == '{'
}

// ParsePrivate reads a private key in any of the formats, telling them apart by their content. Errors: problem.BadValue;
// problem.NeedAuth when a passphrase is needed and none is given; problem.AuthFailed when it does not open the key.
func ParsePrivate(b, passphrase []byte) (*PrivateKey, error) {
	switch {
	case isJSON(b):
		return ParsePrivateJWK(b)
	case isPEM(b):
		if k, err := ParsePrivatePEM(b, passphrase); err == nil || len(b) < 4 || b[0] != 0 {
			return k, err
		}
	}
	return ParsePrivateHandle(b, passphrase)
}

// ParsePublicAny reads a public key in any of the formats, telling them apart by their content. Of a private key that
// is not encrypted it takes the public half. The error is of kind problem.BadValue.
func ParsePublicAny(b []byte) (PublicKey, error) {
	var p PublicKey
	var err error
	switch {
	case isJSON(b):
		return ParsePublicJWK(b)
	case isPEM(b) && len(b) > 0 && b[0] != 0:
		p, err = ParsePublicPEM(b)
	default:
		p, err = ParsePublic(b)
	}
	if err != nil {
		if k, e := ParsePrivate(b, nil); e == nil {
			return k.Public(), nil
		}
	}
	return p, err
}

// Marshal writes the private key in the format, encrypted when there is a passphrase (not as JWK). A nil rnd means the
// operating system's randomness. It is secret: write it with mode 0600.
func (k *PrivateKey) Marshal(f Format, passphrase []byte, rnd io.Reader) ([]byte, error) {
	switch {
	case f == FormatHandle:
		return k.MarshalHandle(passphrase, rnd)
	case f == FormatJWK && len(passphrase) > 0:
		return nil, problem.New(problem.Unsupported, "a JSON Web Key is not encrypted here; take pem or handle with a passphrase, or jwk without", "此处不加密 JSON Web Key；带口令请用 pem 或 handle，不带口令才可用 jwk")
	case f == FormatJWK:
		return k.MarshalJWK()
	case len(passphrase) > 0:
		return k.MarshalEncryptedPEM(passphrase, rnd)
	}
	return k.MarshalPEM()
}

// Marshal writes the public key in the format.
func (p PublicKey) Marshal(f Format) []byte {
	switch f {
	case FormatHandle:
		return appendPublic(nil, p)
	case FormatJWK:
		return p.MarshalJWK()
	}
	return p.MarshalPEM()
}

// WriteFile keeps the private key in a file of mode 0600 that must not exist yet, so that no key is lost by writing
// over it. Errors: problem.Exists.
func (k *PrivateKey) WriteFile(name string, f Format, passphrase []byte) error {
	b, err := k.Marshal(f, passphrase, nil)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		kind := problem.Internal
		if os.IsExist(err) {
			kind = problem.Exists
		}
		return problem.Wrap(err, kind, "the key file %s cannot be made; choose another name or move the old file away", "无法建立密钥文件 %s；请换一个文件名，或移走旧文件", name)
	}
	_, err = file.Write(b)
	if err == nil {
		err = file.Sync()
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		os.Remove(name)
		return problem.Wrap(err, problem.Full, "the key file %s could not be written", "无法写入密钥文件 %s", name)
	}
	return nil
}

// ReadFile reads a private key file of any format. Errors: those of ParsePrivate, and problem.NotFound.
func ReadFile(name string, passphrase []byte) (*PrivateKey, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, problem.Wrap(err, problem.NotFound, "the key file %s cannot be read", "无法读取密钥文件 %s", name)
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, MaxKeyLen+1))
	if err != nil {
		return nil, problem.Wrap(err, problem.NotFound, "the key file %s cannot be read", "无法读取密钥文件 %s", name)
	}
	k, err := ParsePrivate(b, passphrase)
	if err != nil {
		return nil, problem.Wrap(err, problem.KindOf(err), "the key file %s cannot be used", "密钥文件 %s 不可用", name)
	}
	return k, nil
}
