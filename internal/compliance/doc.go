// Package compliance looks over transactions with rules and says what people
// should judge. It is pure.
//
// Rules stand in a YAML file: each names the regulation or guidance that it rests
// on, its severity and its thresholds, and has a revision. A finding is a reason to
// look, with the records that it rests on and the arithmetic; it is no verdict, and
// that there is none proves nothing. Amounts are exact decimals. The same records
// give the same findings, whatever the order of those of the same time.
package compliance
