package mailer

import "context"

// Probe gets as far as the first mail would (greeting, TLS, sign-in) and asks for
// nothing more, so that nobody gets any. Every error is an *Error.
func (b *Server) Probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, b.timeout)
	defer cancel()
	s, err := b.connect(ctx)
	if err != nil {
		return b.unsent(ctx, "connecting", err)
	}
	defer s.close()
	if err := s.client.Noop(); err != nil {
		return b.unsent(ctx, "asking for a sign of life", err)
	}
	s.quit()
	return nil
}
