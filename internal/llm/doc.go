// Package llm asks a language model what a bundle of evidence means.
//
// The model is taken for hostile, and so is the server that speaks for it. What
// comes back is bounded in size and time, read strictly, and judged by the
// caller's check; it fills an agent.Output and does nothing else. Whatever fails
// has a code, and the caller turns to the rulebook.
//
// Every exchange is handed back as it was on the wire, without the key, and
// answers again through Replay when the provider is long gone.
//
// The clients are langchaingo's. Of it, only the messages and the wire forms are
// used: no templates, no chains, no agents, no retries, no settings from the
// environment, and no transport. The key is added below it, so that no client
// ever holds it.
package llm
