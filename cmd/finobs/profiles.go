package main

import (
	"fmt"
	"io/fs"
	"os"

	"finobs/internal/recon"
	"finobs/profiles"
)

// loadProfiles reads the shipped reconciliation profiles and those of a folder; ""
// for none.
func loadProfiles(folder string) (*recon.Catalogue, error) {
	folders := []fs.FS{profiles.FS}
	if folder != "" {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return nil, fmt.Errorf("FINOBS_RECON_PROFILES: %s is not a folder", folder)
		}
		folders = append(folders, os.DirFS(folder))
	}
	c, err := recon.LoadCatalogue(folders...)
	if err != nil {
		return nil, fmt.Errorf("reading profiles: %w", err)
	}
	return c, nil
}
