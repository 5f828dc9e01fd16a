package agent

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// What a Suspicion can be about.
const (
	SuspectInstruction  = "instruction_to_agent" // tells a reader that is a machine what to do or to be
	SuspectApproval     = "claims_approval"      // says that something is approved or needs no approval
	SuspectInvisible    = "invisible_text"       // characters that hide or reorder text
	SuspectToolCall     = "tool_call"            // looks like a message or call of an agent's protocol
	SuspectExfiltration = "exfiltration"         // would carry data out when it is shown or followed
)

const (
	maxSuspectText  = 256 << 10 // bytes that are looked through
	maxSuspectQuote = 200       // bytes
)

// suspects are general forms, not phrases of any one attack. They are matched
// against text that plain makes of it. Words of a desk, such as "override the
// settlement instruction" or "ignore this alert", must not match.
var suspects = []struct {
	what  string
	forms []*regexp.Regexp
}{
	{SuspectInstruction, forms(
		// Leave what you were told: a verb, whose it is, and what.
		`\b(ignor\w*|disregard\w*|forget\w*|overrid\w*|overrul\w*|bypass\w*|clear|drop|abandon\w*|violat\w*|disabl\w*|suspend\w*)\b[^.!?\n]{0,40}\b(previous|prior|priors|above|earlier|preceding|initial|original|all|every|any|your|system|internal|developer|safety|ethical|content|moral|guardrail|main)\b[^.!?\n]{0,30}\b(instructions?|prompts?|directives?|guidelines?|rules?|constraints?|filters?|guardrails?|safeguards?|restrictions?|programming|training|polic(y|ies)|messages?|context|memory|directions|boundaries|wrappers?|identity|priors)\b`,
		`\bignore (all |everything )?(the )?(priors\b|(above|previous)\s*([.,;:!\n]|and\b|$))`,
		// What only the maker of a machine has.
		`\b(system|hidden|developer|internal|initial|master|core|pre)[ -]?(system |developer )?(prompts?|instructions?|directives?|message block|guidelines|operational parameters|configuration settings)\b`,
		`\b(instructions?|prompts?|rules|directives?|text)\b[^.!?\n]{0,40}\b(context window|above (our|this) conversation|you were given|given to you|your developers?)\b`,
		`\b(reveal|print|output|repeat|leak|disclose|dump|show|display|quote)\b[^.!?\n]{0,40}\byour (\w+ ){0,2}(prompt|instructions?|rules|guidelines|configuration|directives?)\b`,
		// Be somebody else.
		`\byou (are|'re) (now|no longer)\b|\byou are an? [^.!?\n]{0,60}\b(ai|assistant|chatbot|model|interpreter|intelligence|api|terminal|npc|machine|gpt)\b`,
		`\b(assume|adopt|take on|stay in|switch to|forget)\b[^.!?\n]{0,30}\b(persona|character|identity|role)\b`,
		`\bfrom (now on|this point (on|forward|onwards?))\b[^.!?\n]{0,40}\byou\b`,
		`\b(act|respond|answer|behave|pretend|imagine)\b[^.!?\n]{0,25}\b(as|to be|you are) (an? |the )?[^.!?\n]{0,40}\b(ai|chatbot|assistant|model|bot|gpt|dan|version|generator|interpreter)\b`,
		`\b(role-?play|jailbreak|do anything now|developer mode|god mode|dan mode)\b`,
		// Have no limits.
		`\b(unrestricted|uncensored|unfiltered|unlimited)\b[^.!?\n]{0,30}\b(mode|response|responses|assistant|ai|model|branch|answer|terminal|opinion|version|information)\b`,
		`\b(no|zero|without( any)?|never|not)\b[^.!?\n]{0,20}\b(restrictions?|safeguards?|censorship|content filters?|ethical (alignment|constraints?|guidelines)|filters|refus(e|es|al)|moral)\b`,
		`\b(safety|security|system|safeguard)\b[^.!?\n]{0,20}\b(protocols?|filters?|blocks?|alignment|restrictions?|constraints?|policies)\b[^.!?\n]{0,40}\b(detached|disabled|removed|overridden|set to false|off|deprecated|irrelevant|lifted|void)\b`,
		`\b(new|updated|primary|real|only) (primary )?(directive|instructions?|task|objective)\b[^.!?\n]{0,20}\b(is|are|:)`,
		`\bnew (directive|instructions?)\s*:`,
		// Speak to the machine that reads.
		`\b(dear|hey|hello|attention|note (to|for)|message (to|for)|instructions? (to|for))\b[^.!?\n]{0,15}\b(ai|llm|agent|assistant|model|chatgpt|gpt|bot)\b`,
		`\b(the|this) (ai|llm|agent|assistant|model) (must|should|shall|will|has to|is to)\b`,
	)},
	{SuspectApproval, forms(
		`\b(already|been|is|was|are|were|hereby)\b[^.!?\n]{0,20}\b(approved|authori[sz]ed|cleared|signed off|waived|green-?lit)\b[^.!?\n]{0,40}\b(by|from|with)\b[^.!?\n]{0,20}\b(compliance|legal|risk|management|supervisors?|manager|head|desk|committee|audit|director|board|officer|ceo|cfo|cto|cro|regulator|four[ -]eyes|admin\w*)\b`,
		`\bpre-?(approved|authori[sz]ed|cleared)\b[^.!?\n]{0,40}\b(compliance|legal|risk|desk|supervisors?|management|action|change|trade|request|remediation|proceed|execut\w*|release|by)\b`,
		`\b(no|without|skip\w*|bypass\w*|waiv\w*)\b[^.!?\n]{0,20}\b(approvals?|authori[sz]ation|four[ -]eyes|sign-?off|second approver|human review)\b[^.!?\n]{0,25}\b(needed|required|necessary|check|step|gate|process|at once|immediately)\b`,
		`\b(approvals?|authori[sz]ation|sign-?off)\b[^.!?\n]{0,15}\b(is|are|was)? ?(not|no longer) (needed|required|necessary)\b`,
		`\b(compliance|legal|risk|management|supervisor) (has |have )?(already )?(said yes|approved|signed off|cleared|agreed|ok'?d)\b`,
		`"(approved|approved_by|approval|approvals|authori[sz]ed|authori[sz]ed_by|auto_?approve|quorum|sign_?off)"\s*:`, // a field of JSON
		`\b(auto|automatically)[ -]?approve\b|\bapprove (this|it|the request|the action) (now|immediately|at once|yourself|automatically)\b`,
	)},
	{SuspectToolCall, forms(
		`"role"\s*:\s*"(system|assistant|developer|tool|user|function)"`,
		`"(tool_calls?|function_call|tool_use|tool_choice)"\s*:`,
		`"(name|action|tool)"\s*:\s*"[a-z_.]+"\s*,\s*"(arguments|parameters|input|target)"\s*:`,
		`<\|?(im_start|im_end|system|assistant|endoftext|eot_id|start_header_id)\|?>|\[/?inst\]|<</?sys>>|</?(tool_call|function_calls?|tool_response|system_prompt|invoke)\b`,
		`(^|\n)\s*#{2,}\s*(system|instructions?|assistant|new instructions?)\b`,
		`(^|\n)\s*(system|assistant|developer)\s*:\s*\S`,
	)},
	{SuspectExfiltration, forms(
		`!\[[^\]\n]*\]\s*\(`,
		`https?://[^\s"'<>)]*[?&/#][^\s"'<>)]*(\{\{?|\$\{|%7b|\[\[|<[a-z_]+>)`,
		`<(img|iframe|script|object|embed|link|svg|form)\b[^>\n]{0,200}`,
		`\b(javascript|vbscript|data:text/html)\s*:`,
		`\b(send|post|forward|upload|exfiltrate|transmit|append|leak|e-?mail)\b[^.!?\n]{0,60}\b(to|at|via|into)\b[^!?\n]{0,20}(https?://|\bwebhook\b)`,
		`\b(send|post|forward|upload|exfiltrate|leak|e-?mail)\b[^.!?\n]{0,30}\b(contents?|conversation|secrets?|credentials?|passwords?|tokens?|api keys?|prompt|evidence)\b[^.!?\n]{0,20}\bto\b`,
	)},
}

func forms(patterns ...string) []*regexp.Regexp {
	out := make([]*regexp.Regexp, len(patterns))
	for n, p := range patterns {
		out[n] = regexp.MustCompile(p)
	}
	return out
}

// Suspect looks for attempts to steer an agent in a text, and returns at most one
// suspicion of each kind; nil when there is none. Where is repeated in each.
//
// It is detection, to be shown to people. Nothing depends on it for safety: what it
// overlooks has no more power than what it finds. docs/rulebook.md says how much it
// finds and how often it is wrong.
func Suspect(where, text string) []Suspicion {
	text = cut(text, maxSuspectText)
	var out []Suspicion
	if hidden := invisible(text); hidden != "" {
		out = append(out, Suspicion{where, SuspectInvisible, quote(hidden)})
	}
	read := plain(text)
	for _, kind := range suspects {
		for _, f := range kind.forms {
			if at := f.FindStringIndex(read); at != nil {
				out = append(out, Suspicion{where, kind.what, quote(read[at[0]:at[1]])})
				break
			}
		}
	}
	return out
}

// SuspectEvidence is Suspect over what others may have written of an evidence: its
// words, the values of its facts, and the names of details. The names of other facts
// are finobs' own, and "system: " at the start of a line is one.
func SuspectEvidence(e Evidence) []Suspicion {
	var foreign strings.Builder
	for _, name := range slices.Sorted(maps.Keys(e.Facts)) {
		if strings.HasPrefix(name, DetailPrefix) {
			foreign.WriteString(name + ": ")
		}
		foreign.WriteString(e.Facts[name] + "\n")
	}
	return Suspect(e.ID, foreign.String()+e.Text[Words(e):])
}

func quote(s string) string { return cut(Clean(cut(s, maxSuspectQuote)), maxSuspectQuote) }

// invisible describes what of a text cannot be seen though it is there; "" when
// there is nothing that honest text has not. Single joiners and marks are part of
// emoji and of several scripts; runs of them, tags, and overrides are not.
func invisible(text string) string {
	run := 0
	var hidden strings.Builder // text in tag characters is ASCII, shifted
	for _, r := range text {
		switch {
		case r >= 0xE0020 && r <= 0xE007E:
			hidden.WriteRune(r - 0xE0000)
			run = 0
		case r >= 0xE0000 && r <= 0xE0FFF && !unicode.Is(unicode.Variation_Selector, r):
			return "a tag character"
		case r >= 0x202A && r <= 0x202E, r >= 0x2066 && r <= 0x2069:
			return "a character that turns the direction of writing"
		case unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) && r != 0xAD:
			if run++; run >= 3 {
				return "a run of characters that cannot be seen"
			}
		default:
			run = 0
		}
	}
	if hidden.Len() > 0 {
		return "tag characters that say: " + hidden.String()
	}
	return ""
}

// likeness maps letters of other scripts to the Latin letters that they look like.
var likeness = strings.NewReplacer(
	"а", "a", "в", "b", "с", "c", "ԁ", "d", "е", "e", "ѕ", "s", "і", "i", "ј", "j", "к", "k", "ӏ", "l", "м", "m", "н", "h", "о", "o", "р", "p",
	"т", "t", "у", "y", "х", "x", "ԛ", "q", "ԝ", "w", "ո", "n", "ս", "u", "α", "a", "β", "b", "ε", "e", "ι", "i", "κ", "k", "ν", "v", "ο", "o",
	"ρ", "p", "τ", "t", "υ", "u", "χ", "x", "ı", "i", "’", "'", "‘", "'", "“", `"`, "”", `"`, "—", "-", "–", "-", "‑", "-",
)

// digits that stand for letters when letters stand beside them.
var leet = map[rune]rune{'0': 'o', '1': 'i', '3': 'e', '4': 'a', '5': 's', '7': 't', '@': 'a', '$': 's'}

// plain makes of a text what a reader takes it for: compatibility forms composed
// (NFKC), nothing that cannot be seen, letters that look Latin as Latin ones, digits
// in the place of letters as letters, lower case, single blanks.
func plain(text string) string {
	text = norm.NFKC.String(strings.ToValidUTF8(text, "\uFFFD"))
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unseen(r):
			return -1
		}
		return unicode.ToLower(r)
	}, text)
	text = likeness.Replace(text)
	runes := []rune(text)
	out := make([]rune, 0, len(runes))
	for n, r := range runes {
		if r != '\n' && unicode.IsSpace(r) {
			r = ' '
		}
		if r == ' ' && len(out) > 0 && (out[len(out)-1] == ' ' || out[len(out)-1] == '\n') {
			continue
		}
		if l, found := leet[r]; found && n > 0 && n+1 < len(runes) && unicode.IsLetter(runes[n-1]) && unicode.IsLetter(runes[n+1]) {
			r = l
		}
		out = append(out, r)
	}
	return deskInstruction.ReplaceAllString(string(out), "$1 ssi")
}

// An instruction of a desk is not one to an agent.
var deskInstruction = regexp.MustCompile(`\b(settlement|standing|payment|delivery|wire|transfer) instructions?\b`)
