// Package mailer hands finished mails to an SMTP server, step by step.
//
// It promises that a failed hand-over says what is known about it (see Outcome),
// and that no address of it can become a command or a header. It does not
// compose, does not retry, and does not remember what it sent.
package mailer
