package action_test

import (
	"maps"
	"net/http"
	"testing"
	"time"

	"finobs/internal/action"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"
)

// What a plan says is what a desk does that knows nothing of plans; and an action
// that is carried out helps, and can be undone where it says so.
func TestPlansAreWhatTheDeskDoes(t *testing.T) {
	everyType(t, func(t *rapid.T, kind action.Type, s scenario) {
		d := openDesk(t, s.objects)
		before := d.read(s.kind, s.id)
		_, plan, left := d.apply(before, s.command)
		want := maps.Clone(before.Fields)
		for _, c := range plan.Changes {
			if c.Before != before.Fields[c.Field] {
				t.Fatalf("%s was %q, and the plan says %q", c.Field, before.Fields[c.Field], c.Before)
			}
			want[c.Field] = c.After
		}
		if !maps.Equal(left.Fields, want) {
			t.Fatalf("the desk made\n%v\nand the plan says\n%v", left.Fields, want)
		}
		if verdict, why := kind.Verify(before, before, plan); verdict != action.NotYet {
			t.Fatalf("before the action the verdict is %s: %s", verdict, why)
		}
		if verdict, why := kind.Verify(before, left, plan); verdict == action.Failed {
			t.Fatalf("right after the action the verdict is failed: %s", why)
		}
		d.now = d.now.Add(recovery)
		after := d.read(s.kind, s.id)
		if verdict, why := kind.Verify(before, after, plan); verdict != action.Recovered {
			t.Fatalf("after recovery the verdict is %s: %s", verdict, why)
		}
		undo(t, d, kind, before, after, plan)
	})
}

// undo compensates a plan, and looks whether the fields are back.
func undo(t *rapid.T, d *desk, kind action.Type, before, after action.Object, plan action.Plan) {
	command, ok := kind.Compensate(before, plan)
	if kind.Reversibility == action.Irreversible {
		if ok {
			t.Fatal("it is irreversible and has a compensation")
		}
		return
	}
	if !ok {
		t.Fatal("there is no compensation")
	}
	d.apply(after, command)
	d.now = d.now.Add(recovery)
	back := d.read(after.Kind, after.ID)
	for _, field := range kind.Restores {
		if !equal(back.Fields[field], before.Fields[field]) {
			t.Fatalf("%s was %q and is %q after compensation", field, before.Fields[field], back.Fields[field])
		}
	}
}

func equal(a, b string) bool {
	m, err := decimal.NewFromString(a)
	n, otherErr := decimal.NewFromString(b)
	return a == b || err == nil && otherErr == nil && m.Equal(n)
}

// An action that was carried out and did not help is failed, whatever was answered.
func TestWhatDoesNotRecoverIsFailed(t *testing.T) {
	everyType(t, func(t *rapid.T, kind action.Type, s scenario) {
		d := openDesk(t, s.objects)
		d.call(http.MethodPost, "/v1/faults", map[string]any{"fault": "no_recovery"}, http.StatusOK, nil)
		before := d.read(s.kind, s.id)
		_, plan, left := d.apply(before, s.command)
		takesTime, _ := kind.Verify(before, left, plan)
		d.now = d.now.Add(recovery)
		verdict, why := kind.Verify(before, d.read(s.kind, s.id), plan)
		if takesTime == action.NotYet && verdict != action.Failed {
			t.Fatalf("the verdict is %s: %s", verdict, why)
		}
	})
}

// A plan is the same for the same input, and another for another version.
func TestPlansAreDeterministic(t *testing.T) {
	everyType(t, func(t *rapid.T, kind action.Type, s scenario) {
		before := openDesk(t, s.objects).read(s.kind, s.id)
		digest := func(o action.Object) string {
			plan, err := kind.Plan(o, action.Params(maps.Clone(s.command.Parameters)))
			if err != nil {
				t.Fatal(err)
			}
			sum, err := plan.Digest()
			if err != nil {
				t.Fatal(err)
			}
			return sum
		}
		first := digest(before)
		copied := before
		copied.Fields = maps.Clone(before.Fields)
		if again := digest(copied); again != first {
			t.Fatalf("two plans over one object differ: %s and %s", first, again)
		}
		copied.Version = "2"
		if moved := digest(copied); moved == first {
			t.Fatal("a plan over another version has the same digest")
		}
	})
}

// A desk that changed since the plan refuses the command.
func TestCommandsOverAnOldVersionAreRefused(t *testing.T) {
	everyType(t, func(t *rapid.T, kind action.Type, s scenario) {
		d := openDesk(t, s.objects)
		before := d.read(s.kind, s.id)
		_, plan, _ := d.apply(before, s.command)
		d.now = d.now.Add(time.Second)
		var problem struct {
			Code    string `json:"code"`
			Current string `json:"current_version"`
		}
		d.call(http.MethodPost, "/v1/commands", map[string]any{
			"action": kind.Name, "target": plan.Target, "parameters": plan.Command.Parameters,
		}, http.StatusConflict, &problem)
		if problem.Code != "version_moved" || problem.Current != "2" {
			t.Fatalf("the refusal is %+v", problem)
		}
	})
}
