package remediation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"finobs/internal/action"
	"finobs/internal/canonical"
	"finobs/internal/fault"
)

// Plan is the dry run of an action over an object that was read, with what would
// take it back, and the other objects on which either depends.
type Plan struct {
	action.Plan
	Before       action.Object   `json:"before"`       // that was planned over
	Compensation *action.Command `json:"compensation"` // nil: there is none
	Needs        []Needed        `json:"needs"`        // in the order in which they were read
}

// Needed is another object on which a plan depends, as it was when it was planned.
type Needed struct {
	Connector string `json:"connector"`
	Kind      string `json:"kind"`
	ID        string `json:"id"`
	Version   string `json:"version"`
}

// Key is how an object is written: kind:id.
func (n Needed) Key() string { return n.Kind + ":" + n.ID }

// Read reads an object of a desk's system as it is now, and says which connector has
// it. A fault of kind NotFound says that none has.
type Read func(kind, id string) (action.Object, string, error)

// PlanFor plans a proposal over its target as it is now. An object on which the action
// depends must be there; without one on which its compensation depends there is no
// compensation.
func PlanFor(t action.Type, o action.Object, parameters map[string]string, read Read) (Plan, error) {
	params, err := t.ParseParams(parameters)
	if err != nil {
		return Plan{}, err
	}
	p, err := t.Plan(o, params)
	if err != nil {
		return Plan{}, err
	}
	out := Plan{Plan: p, Before: o}
	if err := out.need(t.Needed(o, params), read); err != nil {
		return Plan{}, err
	}
	command, ok := t.Compensate(o, p)
	if !ok {
		return out, nil
	}
	back, err := action.Find(command.Action)
	if err != nil {
		return Plan{}, err
	}
	err = out.need(back.Needed(o, command.Parameters), read)
	switch {
	case fault.KindOf(err) == fault.NotFound:
		return out, nil
	case err != nil:
		return Plan{}, err
	}
	out.Compensation = &command
	return out, nil
}

// need adds objects to those on which a plan depends.
func (p *Plan) need(refs []action.Ref, read Read) error {
	var found []Needed
	for _, ref := range refs {
		if p.needs(ref) {
			continue
		}
		o, connector, err := read(ref.Kind, ref.ID)
		if fault.KindOf(err) == fault.NotFound {
			return fault.Wrap(err, fault.NotFound, "needed-not-found",
				"%s depends on %s %s, and no connector of this mode has it; the connector file (FINOBS_CONNECTORS) lists what each serves", p.Action, ref.Kind, ref.ID)
		}
		if err != nil {
			return err
		}
		found = append(found, Needed{connector, o.Kind, o.ID, o.Version})
	}
	p.Needs = append(p.Needs, found...)
	return nil
}

func (p Plan) needs(ref action.Ref) bool {
	return slices.ContainsFunc(p.Needs, func(n Needed) bool { return n.Kind == ref.Kind && n.ID == ref.ID })
}

// Left is the value at which the action leaves a field, if it changes it.
func (p Plan) Left(field string) (value string, changed bool) {
	for _, c := range p.Changes {
		if c.Field == field {
			return c.After, true
		}
	}
	return "", false
}

// Complete reports, as a fault of kind Forbidden, that a plan does not name the
// version of an object on which its action depends.
func (p Plan) Complete(t action.Type) error {
	refs := t.Needed(p.Before, p.Command.Parameters)
	if c := p.Compensation; c != nil {
		back, err := action.Find(c.Action)
		if err != nil {
			return err
		}
		refs = append(refs, back.Needed(p.Before, c.Parameters)...)
	}
	for _, ref := range refs {
		if !p.needs(ref) {
			return fault.New(fault.Forbidden, "plan-incomplete", "the plan of %s does not name the version of %s %s", p.Action, ref.Kind, ref.ID)
		}
	}
	return nil
}

// PlanDigestDomain separates digests of plans with their compensation from every
// other digest.
const PlanDigestDomain = "finobs.remediation.v1"

// Canonical returns the bytes that a plan is kept as, and its digest.
func (p Plan) Canonical() ([]byte, string, error) {
	inner, err := p.Plan.Canonical()
	if err != nil {
		return nil, "", err
	}
	plan, err := canonical.Parse(inner)
	if err != nil {
		return nil, "", err
	}
	o := canonical.Object{
		"plan":   plan,
		"before": canonical.Object{"kind": p.Before.Kind, "id": p.Before.ID, "version": p.Before.Version, "fields": object(p.Before.Fields)},
	}
	if p.Compensation != nil {
		o["compensation"] = canonical.Object{"action": p.Compensation.Action, "parameters": object(p.Compensation.Parameters)}
	}
	if len(p.Needs) > 0 {
		needs := make([]canonical.Object, 0, len(p.Needs))
		for _, n := range p.Needs {
			needs = append(needs, canonical.Object{"connector": n.Connector, "kind": n.Kind, "id": n.ID, "version": n.Version})
		}
		o["needs"] = needs
	}
	b, err := canonical.JSON(o)
	if err != nil {
		return nil, "", err
	}
	return b, canonical.DigestBytes(PlanDigestDomain, b), nil
}

func object(m map[string]string) canonical.Object {
	out := canonical.Object{}
	for name, value := range m {
		out[name] = value
	}
	return out
}

// ParsePlan reads what Canonical wrote, and refuses any other bytes.
func ParsePlan(b []byte, digest string) (Plan, error) {
	bad := func(why error) error {
		return fault.Wrap(why, fault.Forbidden, "plan-broken", "the recorded plan is not the one that was made")
	}
	if got := canonical.DigestBytes(PlanDigestDomain, b); got != digest {
		return Plan{}, bad(fmt.Errorf("it has digest %s, not %s", got, digest))
	}
	var form struct {
		Plan struct {
			action.Plan
			Version string `json:"version"` // canonical forms hold no numbers
		} `json:"plan"`
		Before       action.Object   `json:"before"`
		Compensation *action.Command `json:"compensation"`
		Needs        []Needed        `json:"needs"`
	}
	if err := json.Unmarshal(b, &form); err != nil {
		return Plan{}, bad(err)
	}
	p := Plan{Plan: form.Plan.Plan, Before: form.Before, Compensation: form.Compensation, Needs: form.Needs}
	version, err := strconv.Atoi(form.Plan.Version)
	if err != nil {
		return Plan{}, bad(err)
	}
	p.Version = version
	// Whatever was lost or added on the way shows as other bytes.
	if _, again, err := p.Canonical(); err != nil || again != digest {
		return Plan{}, bad(err)
	}
	return p, nil
}
