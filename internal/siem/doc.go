// Package siem feeds the leaves of the ledger, in the order of their index, to
// sinks outside: syslog receivers and HTTPS collectors.
//
// What it promises depends on the sink. An HTTPS sink acknowledges each batch, so
// every leaf arrives at least once. A syslog receiver over TLS or TCP acknowledges
// nothing: its kernel may take what its program never reads. There the promise is
// that leaves arrive at least once as long as the receiver keeps what it took,
// that whatever was lost shows as a gap in the dense index, and that it can be
// sent again. A syslog receiver over UDP may lose anything at any time, and only
// the gap shows it. Duplicates are to be expected everywhere; the index tells them
// apart. Package seen checks what a receiver has.
//
// # Form of a syslog message
//
// RFC 5424, with one structured element finobs@ENTERPRISE whose parameters are
// idx, id, type, actor, actor_iss, actor_type, subject, action, outcome, wf, desk,
// sim, leaf_sha256 and tree, and trunc="1" when something was left out. Text that
// came from outside cannot end a message or a field: characters that are not
// printable are written as \uXXXX (UTF-16, as in JSON), bytes that are not UTF-8 as
// \xNN, and a backslash before u or x as \u005C, so that the original can be had
// back. In a parameter the escapes of RFC 5424 section 6.3.3 come on top.
//
// # Form of a CEF message
//
// The same syslog header, no structured data, and CEF:0 as the message without a
// byte order mark, which readers of CEF do not expect. The extension has, from the
// ArcSight dictionary: rt (ms), externalId (id), cat (type), suser (actor), act,
// outcome, msg (reason), cn1 (idx), cn2 (tree), cs1 (leaf_sha256), cs2 (subject),
// cs3 (wf), cs4 (desk), cs5 (actor_iss), cs6 (actor_type), flexString1 (sim) and
// flexString2 (trunc), each custom key with its label.
//
// # Form of an HTTPS request
//
// POST of application/x-ndjson, one line {"index":"17","leaf_sha256":"…","leaf":{…}}
// for each leaf, with the leaf's exact bytes. X-Finobs-From and X-Finobs-To are the
// first and the last index, X-Finobs-Digest is sha256: and the digest of the body.
// Idempotency-Key is FROM..TO..DIGEST. Any 2xx acknowledges the whole batch.
package siem
