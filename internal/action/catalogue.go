package action

import (
	"strings"

	"finobs/internal/fault"
)

// Catalogue lists every action, by area and then as the desk would come to them.
func Catalogue() []Type {
	return []Type{
		settlementReinstruct(), settlementAmendSSI(), settlementPartial(),
		tradeRebook(),
		orderCancel(), orderRetry(),
		traderBlock(), traderUnblock(), strategyBlock(), strategyUnblock(),
		feedSwitch(), gatewayRestart(),
		reconRerun(),
		counterpartyNotify(),
	}
}

// Find returns the action of a name, or a fault of kind Invalid that lists all
// names.
func Find(name string) (Type, error) {
	names := []string{}
	for _, t := range Catalogue() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return Type{}, fault.New(fault.Invalid, "action.unknown", "there is no action %q; there are %s", clip(name), strings.Join(names, ", "))
}

// Allowed says, as a fault of kind Invalid, why nobody may so much as propose an
// action: it is not in the catalogue, is for another kind of target, or its
// parameters are wrong.
func Allowed(name, targetKind string, raw map[string]string) error {
	t, err := Find(name)
	if err != nil {
		return err
	}
	if targetKind != t.TargetKind {
		return fault.New(fault.Invalid, "action.wrong-target", "%s is for a %s, not for a %s", name, t.TargetKind, clip(targetKind))
	}
	_, err = t.ParseParams(raw)
	return err
}

// change makes a Change of a field of an object.
func change(o Object, field, after string) Change {
	return Change{Field: field, Before: o.Fields[field], After: after}
}
