// Package sandbox plays a desk's systems: orders, settlements, feeds, gateways and
// so on, behind the finobs connector protocol (docs/connectors.md). It is for
// demonstrations, simulation and tests, and can be told to misbehave.
//
// It knows nothing of the catalogue of actions: it carries out commands by rules of
// its own, as a desk's system would, so that the two can be tested against each
// other. What it did survives kill -9: a line is on disk before it is answered.
package sandbox
