package devstack

// For tests of package devstack_test.
var (
	StartAgain = startAgain
	ErrEnded   = errEnded
)
