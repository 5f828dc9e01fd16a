// Package fix reads FIX logs and drop copies as a stream, within constant memory,
// whatever the file holds: FIX 4.0 to 4.4 and 5.0 over FIXT.1.1, fields ended by
// SOH or by what a logger wrote in its place, any prefix before 8=FIX, messages
// split over lines or several on one, and QuickFIX acceptance scripts. Source of
// the format: FIX Session Layer, https://www.fixtrading.org/standards/fix-session-layer-online/.
//
// quickfix.ParseMessage is not used: it takes SOH alone, refuses a message whose
// BodyLength or CheckSum is wrong, which in anonymised logs most are, and its
// enums name codes without words for them.
//
// What is read is untrusted. A value is never interpreted, and BodyLength, where
// it agrees, decides where a message ends, so that text that looks like a message
// is not taken for one. In a log that was written with another delimiter and with
// wrong lengths, a value that holds this delimiter cannot be told from fields; a
// message that has a header field twice is therefore refused.
package fix
