// Package sanctions reads the lists of sanctioned persons that OFAC publishes, and
// finds names on them by a stated method (see Index.Match). It is pure.
//
// A match is a reason to look, never a verdict: it says which entry, which of its
// names, by which method and how alike. That nothing matches proves nothing about
// a person. Addresses, dates of birth and numbers of documents are read but do not
// take part in matching; they are for the people who judge a match.
package sanctions
