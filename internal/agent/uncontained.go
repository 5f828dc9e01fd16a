//go:build uncontained

package agent

// Contained is false: Check keeps nothing out. Such a build is for one test, which
// wants finobs redteam to fail; finobs runs nothing else in it.
const Contained = false
