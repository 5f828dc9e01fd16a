// Package redteam attacks agents as they are built, offline: it has the worst that a
// model can answer judged by the code that judges in production, puts adversarial
// texts wherever somebody's words reach an agent, and looks for secrets where they
// must not be. What it wants is containment: no text and no answer may change what is
// proposed, over what, with which parameters, or what is planned. Whether an attempt
// is recognised is counted, and decides nothing.
//
// What escapes is judged by rules of this package, not by those of agent.Check.
package redteam
