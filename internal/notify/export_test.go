package notify

// FromTheFirstByte makes a mail channel speak TLS as on port 465, on a port that
// a test may listen on.
func FromTheFirstByte(c Channel) { c.(*mailbox).implicit = true }
