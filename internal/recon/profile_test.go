package recon_test

import (
	"testing"

	"finobs/internal/recon"
	"finobs/profiles"
)

func TestShippedProfilesLoad(t *testing.T) {
	c, err := recon.LoadCatalogue(profiles.FS)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.All()) != 3 || len(c.Scheduled()) != 1 {
		t.Errorf("%d profiles, %d of them run by themselves", len(c.All()), len(c.Scheduled()))
	}
}
