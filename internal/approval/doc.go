// Package approval is the pure heart of the gate: what an action is, which
// policy governs it, and what a sequence of decisions amounts to.
//
// It reads no clock and does no I/O. The same functions judge when a decision
// is recorded, when an effect is about to happen, and when an auditor checks
// both afterwards.
package approval
