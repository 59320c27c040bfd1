package irp

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"net/netip"
	"time"

	"github.com/fujie-id/fujie/problem"
	"github.com/fujie-id/fujie/record"
)

// TunnelType is the media type of messages that go over HTTP.
const TunnelType = "application/x-hdl-message"

// IsTunnel reports whether a request of HTTP carries a message of this protocol.
func IsTunnel(r *http.Request) bool {
	t, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	return r.Method == http.MethodPost && err == nil && t == TunnelType
}

// Tunnel answers messages that come as the bodies of POST requests, under any path; the answer's body is the answer.
// Timeouts of slow clients are the HTTP server's.
func (s *Server) Tunnel() http.Handler {
	s.start()
	return http.HandlerFunc(s.tunnel)
}

func (s *Server) tunnel(w http.ResponseWriter, q *http.Request) {
	if q.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "send the message as the body of a POST request", http.StatusMethodNotAllowed)
		return
	}
	if !IsTunnel(q) {
		http.Error(w, "send the message with Content-Type "+TunnelType, http.StatusUnsupportedMediaType)
		return
	}
	msg, err := io.ReadAll(http.MaxBytesReader(w, q.Body, envelopeSize+MaxMessage))
	if err != nil {
		var tooLong *http.MaxBytesError
		if errors.As(err, &tooLong) {
			s.Stats.Malformed.Add(1)
			http.Error(w, "the message is over the limit of 262144 bytes", http.StatusRequestEntityTooLarge)
		}
		return
	}
	w.Header().Set("Content-Type", TunnelType)
	w.Header().Set("Cache-Control", "no-store")
	v := s.view(s.Now())
	if out, ok := appendFast(nil, msg, &v); ok {
		s.Stats.Fast.Add(1)
		w.Write(out)
		return
	}
	e, err := DecodeEnvelope(msg)
	if err == nil && int(e.Length) != len(msg)-envelopeSize {
		err = problem.New(problem.BadRequest, "the body has %d bytes, the envelope says %d",
			"正文有 %d 字节，信封却声明 %d 字节", len(msg), envelopeSize+int(e.Length))
	}
	if err != nil {
		s.Stats.Malformed.Add(1)
		w.Write(undecodable(ProtocolError, problem.Say(err, problem.English)))
		return
	}
	select {
	case s.connWork <- struct{}{}:
		defer func() { <-s.connWork }()
	case <-q.Context().Done():
		return
	}
	ch := &channel{proto: record.HTTP, proven: true}
	if ap, err := netip.ParseAddrPort(q.RemoteAddr); err == nil {
		ch.peer = netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
	}
	rc := http.NewResponseController(w)
	err = s.serve(q.Context(), ch, e, msg[envelopeSize:], func(msg []byte, more bool) error {
		if more {
			// Long answers are given time by the message.
			_ = rc.SetWriteDeadline(time.Now().Add(s.Limits.Write))
		}
		_, err := w.Write(msg)
		return err
	})
	if err != nil {
		s.Log.Debug("a request was given up", "peer", ch.peer, "error", err)
	}
}
