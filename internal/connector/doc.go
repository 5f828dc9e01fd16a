// Package connector reaches a desk's systems by the finobs connector protocol
// (docs/connectors.md): it reads their objects and has them carry out commands, each
// once by its key.
//
// Its promise is about what is known. A command has an outcome of done or failed only
// when the system said so, or when nothing left this process; everything else is
// unknown, and is found out by Lookup or by sending the same command under the same
// key. Nothing here decides whether a command may be sent.
package connector
