package approval

// Status is where a request for approval stands.
type Status string

// The closed set of statuses. Only Pending and Approved can change again.
const (
	Pending    Status = "pending"    // waits for decisions
	Approved   Status = "approved"   // the quorum is met, the action is not yet carried out
	Consumed   Status = "consumed"   // carried out, or begun: the approval is spent
	Rejected   Status = "rejected"   // vetoed
	Expired    Status = "expired"    // the deadline passed before the quorum was met
	Cancelled  Status = "cancelled"  // withdrawn, or its workflow was cancelled
	Superseded Status = "superseded" // the target or the parameters changed
)

// Statuses lists all of them in the order of a request's life.
func Statuses() []Status {
	return []Status{Pending, Approved, Consumed, Rejected, Expired, Cancelled, Superseded}
}

// Valid reports whether s is one of the statuses above.
func (s Status) Valid() bool {
	for _, known := range Statuses() {
		if s == known {
			return true
		}
	}
	return false
}

// Terminal reports whether s can never change again.
func (s Status) Terminal() bool { return s.Valid() && s != Pending && s != Approved }

// CanBecome reports whether a request may go from s to next.
func (s Status) CanBecome(next Status) bool {
	switch s {
	case Pending:
		return next.Valid() && next != Pending && next != Consumed
	case Approved:
		return next == Consumed || next == Cancelled || next == Superseded || next == Expired
	default:
		return false
	}
}
