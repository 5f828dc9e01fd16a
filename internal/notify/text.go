package notify

// Limits, in characters.
const (
	maxSubject = 200
	maxName    = 100
	maxDetail  = 500
)
