package approval_test

import (
	"testing"

	"finobs/internal/approval"
)

func TestMaySee(t *testing.T) {
	for _, c := range []struct {
		roles []string
		own   string
		desk  string
		want  bool
	}{
		{[]string{"viewer"}, "EQ", "EQ", true},
		{[]string{"viewer"}, "EQ", "", true},
		{[]string{"viewer"}, "EQ", "FX", false},
		{[]string{"viewer"}, "EQ", "eq", false},
		{[]string{"viewer"}, "", "FX", false},
		{[]string{"viewer"}, "", "", true},
		{[]string{"trader"}, "EQ", "FX", false},
		{[]string{"service"}, "EQ", "FX", false},
		{[]string{"viewer", "trader", "service"}, "EQ", "FX", false},
		{nil, "EQ", "FX", false},
		{[]string{"chief"}, "EQ", "FX", false},
		{[]string{"analyst"}, "EQ", "FX", true},
		{[]string{"compliance"}, "", "FX", true},
		{[]string{"admin"}, "", "FX", true},
		{[]string{"auditor"}, "", "FX", true},
		{[]string{"viewer", "auditor"}, "EQ", "FX", true},
	} {
		p := approval.Principal{Roles: c.roles, Desk: c.own}
		if got := approval.MaySee(p, c.desk); got != c.want {
			t.Errorf("%v of desk %q sees desk %q: %v", c.roles, c.own, c.desk, got)
		}
	}
}
