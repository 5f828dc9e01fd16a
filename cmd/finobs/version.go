package main

import "runtime/debug"

// version is the commit that this program was built from; "unknown" when it was
// built outside of a repository.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	out := info.Main.Version
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			out = s.Value
		}
	}
	if out == "" {
		return "unknown"
	}
	return out
}
