package recon

import (
	"slices"
	"strings"

	"finobs/internal/intake"

	"github.com/shopspring/decimal"
)

// Allocation is what of a trade goes to an account.
type Allocation struct {
	Account  string
	Quantity decimal.Decimal // summed over all lines of the trade and the account; not 0
}

// CompareAllocations judges the allocations of a pair, each sorted by account. It
// gives at most one break: of the accounts when they differ, else of the quantities.
// Where the trades themselves differ in quantity or account there is none, since
// the allocations only follow.
func (p *Profile) CompareAllocations(pair *Pair, left, right []Allocation) []Break {
	if p.breaks(pair, intake.Quantity) || p.compares(intake.Account) && differs(pair, intake.Account) {
		return nil
	}
	moved, sameAccounts := p.moved(left, right)
	if moved.IsZero() {
		return nil
	}
	t := AccountBreak
	if sameAccounts {
		t = QuantityBreak
	}
	b := p.between(pair, t, "allocation")
	b.LeftValue, b.RightValue = allocationText(left), allocationText(right)
	b.Difference = decimal.NewNullDecimal(sum(right).Sub(sum(left)))
	b.Exposure = times(decimal.NewNullDecimal(moved), larger(pair.Left.number(intake.Price), pair.Right.number(intake.Price)))
	return []Break{b}
}

// moved is how much lies elsewhere on the other side, beyond what is tolerated.
func (p *Profile) moved(left, right []Allocation) (units decimal.Decimal, sameAccounts bool) {
	more, less, same := decimal.Zero, decimal.Zero, true
	for len(left)+len(right) > 0 {
		switch {
		case len(right) == 0 || len(left) > 0 && left[0].Account < right[0].Account:
			less, same, left = less.Add(left[0].Quantity.Abs()), false, left[1:]
		case len(left) == 0 || right[0].Account < left[0].Account:
			more, same, right = more.Add(right[0].Quantity.Abs()), false, right[1:]
		default:
			l, r := left[0].Quantity, right[0].Quantity
			if !p.Tolerances[intake.Quantity].Allows(l, r) {
				if l.LessThan(r) {
					more = more.Add(r.Sub(l))
				} else {
					less = less.Add(l.Sub(r))
				}
			}
			left, right = left[1:], right[1:]
		}
	}
	return decimal.Max(more, less), same
}

func sum(list []Allocation) decimal.Decimal {
	total := decimal.Zero
	for _, a := range list {
		total = total.Add(a.Quantity)
	}
	return total
}

const maxAllocationText = 1000 // bytes

func allocationText(list []Allocation) string {
	parts := make([]string, 0, len(list))
	size := 0
	for i, a := range list {
		part := a.Account + " " + a.Quantity.String()
		if size += len(part) + 2; size > maxAllocationText {
			parts = append(parts, "and "+decimal.NewFromInt(int64(len(list)-i)).String()+" more")
			break
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// SortAllocations brings allocations into the order of CompareAllocations.
func SortAllocations(list []Allocation) {
	slices.SortFunc(list, func(a, b Allocation) int { return strings.Compare(a.Account, b.Account) })
}
