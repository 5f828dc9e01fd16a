package store

import "testing"

func TestWithSetting(t *testing.T) {
	for names, want := range map[string]string{
		"postgres://u:p@h:5432/d":                "postgres://u:p@h:5432/d?plan_cache_mode=force_custom_plan",
		"postgres://u:p%40@h/d?sslmode=disable":  "postgres://u:p%40@h/d?plan_cache_mode=force_custom_plan&sslmode=disable",
		"host=h user=u password='a b' dbname=d":  "host=h user=u password='a b' dbname=d plan_cache_mode=force_custom_plan",
		"postgresql://h/d?plan_cache_mode=auto":  "postgresql://h/d?plan_cache_mode=force_custom_plan",
		"postgres:///d?host=/var/run/postgresql": "postgres:///d?host=%2Fvar%2Frun%2Fpostgresql&plan_cache_mode=force_custom_plan",
	} {
		if got := withSetting(names, "plan_cache_mode", "force_custom_plan"); got != want {
			t.Errorf("%s becomes %s, want %s", names, got, want)
		}
	}
}
