// Package delivery takes a sealed export to a destination, and reads it back.
//
// Destinations are configured by name in a file that operators keep (see Load and
// docs/destinations.md); no caller can name a host, a path or an address.
//
// It promises that nothing which already lies at a destination is overwritten,
// that the bytes which leave are the sealed ones (each file's digest is checked
// while it is read), that the manifest comes after the files it vouches for, and
// that a failed delivery says what is known about it (see Error).
//
// It does not retry beyond a single request, and it does not remember what it
// delivered: whoever delivers keeps the Receipt.
package delivery
