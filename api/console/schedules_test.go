package console

import (
	"net/http"
	"strings"
	"testing"
)

func TestAScheduleIsPreviewedWithWhatStandsInTheForm(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{text: "plain", answer: map[string]any{"/export-schedules/preview": preview{NextRuns: []dueRun{{At: clock, Local: "2026-11-30T18:00:00-05:00"}}}}}
	c := makeConsole(t, api)
	for _, page := range []string{"/console/schedules", "/console/schedules/42"} {
		w := post(c, page+"/preview", withCSRF("cron", "0 18 * * 1-5", "zone", "America/New_York", "name", "typed so far"))
		for _, wanted := range []string{"2026-11-30T18:00:00-05:00", `value="typed so far"`, `value="0 18 * * 1-5"`} {
			if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), wanted) {
				t.Errorf("%s: %d, without %s", page, w.Code, wanted)
			}
		}
	}
	for _, c := range api.made() {
		if c.Path != "/export-schedules/preview" {
			t.Errorf("a preview called %s", c)
		}
	}
}
