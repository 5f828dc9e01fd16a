//go:build uncontained

package agent

// Contained is false: Check keeps nothing out. Such a build is for one test, which
// wants finobs redteam to fail; no agent runs in it.
const Contained = false
