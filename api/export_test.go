package api

// For tests of package api_test.
var (
	NewDenials = newDenials
	CheckJSON  = checkJSON
)

// EveryRouteListed reaches an unexported method.
var EveryRouteListed = (*Server).everyRouteListed

// Denials and Denial name unexported types to tests.
type (
	Denials = denials
	Denial  = denial
)

// Record and Flush reach unexported methods.
var (
	Record = (*denials).record
	Flush  = (*denials).flush
)
