// Package notify tells people and programs about approvals, by mail and by
// webhook.
//
// It promises that a failed send says what is known about it (see Outcome), that
// text which came from outside cannot add headers, recipients or commands, and
// that a message carries nothing that decides: its URL is a page where a person
// signs in.
//
// It does not retry, and it does not remember what it sent. Whoever sends keeps
// that, and repeats a message under its old ID.
package notify
