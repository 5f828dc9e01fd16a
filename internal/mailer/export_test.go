package mailer

// FromTheFirstByte makes a server speak TLS as on port 465, on a port that a test
// may listen on.
func FromTheFirstByte(b *Server) { b.implicit = true }
