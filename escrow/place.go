package escrow

import (
	"context"
	"io"
	"net"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/fujie-id/fujie/problem"
)

// Place is where deposits lie.
type Place interface {
	// Create makes a file that appears under its name, whole, when it is closed without an error; Abort takes it away.
	Create(ctx context.Context, name string) (File, error)
	Open(ctx context.Context, name string) (io.ReadCloser, error)
	// Names is the names of all files that are there.
	Names(ctx context.Context) ([]string, error)
	Close() error
}

// File is a file that is being made.
type File interface {
	io.WriteCloser
	Abort()
}

// good refuses names that lead elsewhere: manifests come from others.
func good(name string) error {
	if name == "" || len(name) > 200 || name[0] == '.' || strings.ContainsAny(name, "/\\\x00:") {
		return problem.New(problem.BadRequest, "%q is no name of a file of a deposit", "%q 不是托管文件名", name)
	}
	return nil
}

// Folder keeps deposits in a folder of this machine.
func Folder(dir string) (Place, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the folder %s cannot be made", "无法建立目录 %s", dir)
	}
	return folder(dir), nil
}

type folder string

func (d folder) Create(_ context.Context, name string) (File, error) {
	if err := good(name); err != nil {
		return nil, err
	}
	full := filepath.Join(string(d), name)
	f, err := os.OpenFile(full+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, problem.Wrap(err, problem.Full, "%s cannot be written: see that there is room and the right to write", "无法写入 %s：请检查剩余空间与写入权限", full)
	}
	return &folderFile{f, full}, nil
}

type folderFile struct {
	*os.File
	name string
}

func (f *folderFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if err != nil {
		err = problem.Wrap(err, problem.Full, "%s cannot be written: see that there is room", "无法写入 %s：请检查剩余空间", f.name)
	}
	return n, err
}

func (f *folderFile) Close() error {
	err := f.Sync()
	if err2 := f.File.Close(); err == nil {
		err = err2
	}
	if err == nil {
		err = os.Rename(f.name+".part", f.name)
	}
	if err != nil {
		return problem.Wrap(err, problem.Full, "%s cannot be finished: see that there is room", "无法完成 %s：请检查剩余空间", f.name)
	}
	if d, err := os.Open(filepath.Dir(f.name)); err == nil {
		d.Sync()
		d.Close()
	}
	return nil
}

func (f *folderFile) Abort() { f.File.Close(); os.Remove(f.name + ".part") }

func (d folder) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if err := good(name); err != nil {
		return nil, err
	}
	f, err := os.Open(filepath.Join(string(d), name))
	if err != nil {
		return nil, problem.Wrap(err, problem.NotFound, "%s is not in %s", "%[2]s 中没有 %[1]s", name, string(d))
	}
	return f, nil
}

func (d folder) Names(context.Context) ([]string, error) {
	es, err := os.ReadDir(string(d))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the folder %s cannot be read", "无法读取目录 %s", string(d))
	}
	var out []string
	for _, e := range es {
		if e.Type().IsRegular() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func (d folder) Close() error { return nil }

// SSH says how to log in to an SFTP server.
type SSH struct {
	// Key is a private key in OpenSSH or PEM form; Password, if there is none.
	Key      []byte
	Password string
	// Host is the server's public key, as a line of known_hosts without the name ("ssh-ed25519 AAAA…"). Danger: there is
	// no default; without it anybody on the way could take the deposits.
	Host    string
	Timeout time.Duration // 20 s if 0
}

// SFTP keeps deposits on a server: sftp://user@host:22/folder. The folder is made when it is not there.
func SFTP(ctx context.Context, address string, login SSH) (Place, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "sftp" || u.Host == "" || u.User == nil {
		return nil, problem.New(problem.BadRequest, "%q is no address of a deposit: write sftp://user@host:22/folder", "%q 不是托管地址：请写成 sftp://用户@主机:22/目录", address)
	}
	if login.Timeout == 0 {
		login.Timeout = 20 * time.Second
	}
	host, _, _, _, err := ssh.ParseAuthorizedKey([]byte(login.Host))
	if err != nil {
		return nil, problem.Wrap(err, problem.BadRequest, "the SFTP server's public key is needed, as ssh-ed25519 AAAA…: ssh-keyscan prints it", "需要 SFTP 服务器的公钥（ssh-ed25519 AAAA…）：可用 ssh-keyscan 查看")
	}
	cfg := &ssh.ClientConfig{User: u.User.Username(), HostKeyCallback: ssh.FixedHostKey(host), Timeout: login.Timeout, HostKeyAlgorithms: []string{host.Type()}}
	if len(login.Key) > 0 {
		k, err := ssh.ParsePrivateKey(login.Key)
		if err != nil {
			return nil, problem.New(problem.BadRequest, "the SSH key cannot be read: give it in OpenSSH form, without a passphrase", "无法读取 SSH 密钥：请提供无口令的 OpenSSH 格式密钥")
		}
		cfg.Auth = []ssh.AuthMethod{ssh.PublicKeys(k)}
	} else {
		cfg.Auth = []ssh.AuthMethod{ssh.Password(login.Password)}
	}
	addr := u.Host
	if u.Port() == "" {
		addr = net.JoinHostPort(u.Hostname(), "22")
	}
	fail := func(err error) error {
		return problem.Wrap(err, problem.Unreachable, "no way into %s: see that it runs, and that user, key and host key are right", "无法登录 %s：请检查其是否运行，以及用户、密钥与主机公钥是否正确", addr)
	}
	d := net.Dialer{Timeout: login.Timeout}
	raw, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fail(err)
	}
	raw.SetDeadline(time.Now().Add(login.Timeout))
	conn, chans, reqs, err := ssh.NewClientConn(raw, addr, cfg)
	if err != nil {
		raw.Close()
		return nil, fail(err)
	}
	raw.SetDeadline(time.Time{})
	sc := ssh.NewClient(conn, chans, reqs)
	c, err := sftp.NewClient(sc)
	if err != nil {
		sc.Close()
		return nil, fail(err)
	}
	p := &sftpPlace{c: c, ssh: sc, dir: path.Clean("/" + u.Path), at: addr}
	if strings.HasPrefix(u.Path, "/~/") {
		p.dir = strings.TrimPrefix(u.Path, "/~/")
	}
	if err := c.MkdirAll(p.dir); err != nil {
		p.Close()
		return nil, problem.Wrap(err, problem.Forbidden, "the folder %s cannot be made at %s", "无法在 %[2]s 建立目录 %[1]s", p.dir, addr)
	}
	return p, nil
}

type sftpPlace struct {
	c       *sftp.Client
	ssh     *ssh.Client
	dir, at string
}

func (p *sftpPlace) trouble(err error, name string) error {
	if os.IsNotExist(err) {
		return problem.Wrap(err, problem.NotFound, "%s is not at %s", "%[2]s 中没有 %[1]s", name, p.at)
	}
	return problem.Wrap(err, problem.Unreachable, "%s at %s failed: see that it runs and has room", "%[2]s 上的 %[1]s 出错：请检查其是否运行及剩余空间", name, p.at)
}

func (p *sftpPlace) Create(_ context.Context, name string) (File, error) {
	if err := good(name); err != nil {
		return nil, err
	}
	full := path.Join(p.dir, name)
	f, err := p.c.OpenFile(full+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY)
	if err != nil {
		return nil, p.trouble(err, name)
	}
	return &sftpFile{f, p, full}, nil
}

type sftpFile struct {
	*sftp.File
	p    *sftpPlace
	name string
}

func (f *sftpFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if err != nil {
		err = f.p.trouble(err, f.name)
	}
	return n, err
}

func (f *sftpFile) Close() error {
	if _, ok := f.p.c.HasExtension("fsync@openssh.com"); ok {
		if err := f.File.Sync(); err != nil {
			f.File.Close()
			return f.p.trouble(err, f.name)
		}
	}
	if err := f.File.Close(); err != nil {
		return f.p.trouble(err, f.name)
	}
	var err error
	if _, ok := f.p.c.HasExtension("posix-rename@openssh.com"); ok {
		err = f.p.c.PosixRename(f.name+".part", f.name)
	} else {
		f.p.c.Remove(f.name)
		err = f.p.c.Rename(f.name+".part", f.name)
	}
	if err != nil {
		return f.p.trouble(err, f.name)
	}
	return nil
}

func (f *sftpFile) Abort() { f.File.Close(); f.p.c.Remove(f.name + ".part") }

func (p *sftpPlace) Open(_ context.Context, name string) (io.ReadCloser, error) {
	if err := good(name); err != nil {
		return nil, err
	}
	f, err := p.c.Open(path.Join(p.dir, name))
	if err != nil {
		return nil, p.trouble(err, name)
	}
	return f, nil
}

func (p *sftpPlace) Names(context.Context) ([]string, error) {
	es, err := p.c.ReadDir(p.dir)
	if err != nil {
		return nil, p.trouble(err, p.dir)
	}
	var out []string
	for _, e := range es {
		if e.Mode().IsRegular() {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

func (p *sftpPlace) Close() error {
	p.c.Close()
	return p.ssh.Close()
}
