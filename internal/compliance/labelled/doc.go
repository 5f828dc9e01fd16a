// Package labelled reads files of transactions whose suspicious ones are known, and
// measures what the rules of package compliance find among them.
//
// Such files come from simulators. What is measured says how rules do on what the
// simulator was told to make, no more.
package labelled
