//go:build !uncontained

package agent

// Contained is false only in a build that is made to show that finobs redteam finds
// what Check keeps out. See docs/redteam.md.
const Contained = true
