// Package recon holds the rules of reconciliation: what a profile says, when two
// records of a trade differ, and what a break is called, weighs and costs. It
// compares no files by itself: package store finds, inside Postgres, which records
// belong together, and this package judges each pair.
//
// It is pure. Quantities and money are exact decimals throughout.
package recon
