//go:build uncontained

package agent

// contained is false: Check keeps nothing out. Such a build is for one test, which
// wants finobs redteam to fail; it must not run anywhere else.
const contained = false
