package connector

import (
	"strings"
	"testing"
	"time"
	"unicode"

	"finobs/internal/approval"
)

// FuzzDecode reads anything as each kind of answer. What is accepted holds what the
// protocol promises, and what is kept of a system's words is fit to be shown.
func FuzzDecode(f *testing.F) {
	object := `{"kind":"trader","id":"amina","version":"2","fields":{"status":"blocked"}}`
	for _, seed := range []string{
		object, `{"objects":[` + object + `],"next":"amina"}`, `{"effect_id":"E1","status":"applied","object":` + object + `}`,
		`{"key":"k","status":"applied","effect_id":"E1","object":` + object + `}`, `{"key":"k","status":"refused","code":"no","reason":"n\u0000o"}`,
		`{"key":"k","status":"absent"}`, `{"key":"k","status":"pending"}`, `{"status":422,"code":"refused","detail":"\u202eno","current_version":"7"}`,
	} {
		f.Add([]byte(seed))
	}
	target := approval.Target{Kind: "trader", ID: "amina", Version: "1"}
	c := &client{name: "fuzz"}
	f.Fuzz(func(t *testing.T, body []byte) {
		if o, err := decodeObject(body, "trader", "amina"); err == nil && (o.Kind != "trader" || o.ID != "amina" || o.Validate() != nil) {
			t.Errorf("object %+v", o)
		}
		if p, err := decodePage(body, "trader", "a"); err == nil {
			for _, o := range p.Objects {
				if o.Kind != "trader" || o.ID <= "a" || o.Validate() != nil {
					t.Errorf("page %+v", p)
				}
			}
		}
		if out, err := decodeApplied(body, target); err == nil &&
			(out.Status != Done || out.EffectID == "" || out.Object.ID != "amina" || out.Object.Version == "1" || out.Object.Validate() != nil) {
			t.Errorf("applied %+v", out)
		}
		if out, err := decodeEffect(body, "trader", "k"); err == nil {
			shown(t, out)
			if (out.Status == Done) != (out.Object != nil) {
				t.Errorf("effect %+v", out)
			}
		}
		for _, status := range []int{200, 422, 500} {
			out, err := c.judge(reply{status, "application/problem+json", body}, target, time.Unix(1, 0))
			if err != nil {
				t.Error(err)
			}
			shown(t, out)
			if status == 500 && out.Status != Unknown || status == 422 && out.Status == Done || status == 200 && out.Status == Failed {
				t.Errorf("%d is %+v", status, out)
			}
		}
	})
}

func shown(t *testing.T, out Outcome) {
	t.Helper()
	if !out.Status.Valid() || strings.ContainsFunc(out.Reason, unicode.IsControl) || len([]rune(out.Reason)) > maxReason+64 {
		t.Errorf("outcome %+v", out)
	}
	if out.Status != Done && (out.Code == "" || out.Reason == "") {
		t.Errorf("why is not said: %+v", out)
	}
}
