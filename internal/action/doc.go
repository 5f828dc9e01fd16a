// Package action is the catalogue of remediation: what finobs may do to a desk's
// systems, and nothing else. It is pure.
//
// An action is code. It says which parameters it takes, what must hold before,
// what exactly will change (the dry run, which people approve by its digest), how
// the object itself shows that it has recovered, and how to undo it. Nothing here
// reaches a system; package connector does.
package action
