package activities

// What detectors and intake call within their own transactions.
var (
	Occur    = occur
	OccurAll = occurAll
)
